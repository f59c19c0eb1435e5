//! `tar2erofs IN.tar OUT.erofs`: makes an EROFS image of a layer; `-` reads standard input.
//! With `TAR2EROFS_MEMORY` set, it also tells the most memory that it had resident.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use skete_erofs::{Options, Stats, convert};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        eprintln!("usage: tar2erofs IN.tar|- OUT.erofs");
        return ExitCode::from(2);
    };
    let result = run(input.as_ref(), output.as_ref());
    if std::env::var_os("TAR2EROFS_MEMORY").is_some()
        && let Ok(status) = fs::read_to_string("/proc/self/status")
    {
        status
            .lines()
            .filter(|line| line.starts_with("VmHWM:"))
            .for_each(|l| eprintln!("{l}"));
    }
    match result {
        Ok(stats) => {
            eprintln!("{stats:?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            // One line: each level after the one it explains.
            let levels = std::iter::successors(Some(&*error as &dyn Error), |&e| e.source());
            let line: Vec<_> = levels.map(ToString::to_string).collect();
            eprintln!("tar2erofs: {}", line.join(": "));
            ExitCode::FAILURE
        }
    }
}

fn run(input: &Path, output: &Path) -> Result<Stats, Box<dyn Error>> {
    let tar: Box<dyn Read> = match input.to_str() {
        Some("-") => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(input)?),
    };
    let mut out = File::create_new(output)?;
    let result = convert(tar, &mut out, &Options::default());
    if result.is_err() {
        fs::remove_file(output)?;
    }
    Ok(result?)
}
