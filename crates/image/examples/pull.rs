//! Pulls an image into a store and prints its layers, lowest first.
//!
//! `cargo run -p skete-image --example pull -- /tmp/images localhost:5000/app:1`

use std::process::ExitCode;

use skete_image::{Error, PullOptions, Store, parse_reference};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, name] = &arguments[..] else {
        eprintln!("usage: pull STORE IMAGE");
        return ExitCode::from(2);
    };
    match pull(root, name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", error.line());
            ExitCode::FAILURE
        }
    }
}

fn pull(root: &str, name: &str) -> Result<(), Error> {
    let store = Store::open(root)?;
    let image = store.pull(&parse_reference(name)?, &PullOptions::default())?;
    for layer in image.layers {
        println!("{}", layer.display());
    }
    Ok(())
}
