//! Builds, installs, runs, tests and measures Skete: `cargo xtask help`.
#![forbid(unsafe_code)]

mod bench;
mod cluster;
mod command;
mod cpio;
mod e2e;
mod image;
mod initramfs;
mod kernel;
mod links;
mod packages;
mod stage;
mod tests;
mod tools;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use command::{Failure, run};

const HELP: &str = "\
usage: cargo xtask COMMAND

  run FILE|IMAGE …   build all that is needed and run a Pod (all of `skete run`'s arguments)
  build              build kernel, guest image and programs into target/skete
  install [PREFIX]   build, and install into PREFIX (/usr/local)
  uninstall [PREFIX] remove what install put there
  test [FILTER]      install what the tests need and pass them all
  cluster …          a real one-node Kubernetes on this machine: `cargo xtask cluster help`
  e2e [FOCUS]        Kubernetes' own tests on it, with Skete: `cargo xtask e2e help`
  bench [PART …]     measure what SPECIFICATION.md promises, and print the figures
  lint               rustfmt, clippy, and the rules that no compiler checks
  kernel             build the guest's kernel only
  docs               make the book of docs/ (installs mdBook, once)
  audit              check the dependencies (installs cargo-deny, once)

Kernel and downloads are kept in ~/.cache/skete, or where SKETE_CACHE says.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut words = arguments.iter().map(String::as_str);
    let command = words.next().unwrap_or("help");
    let rest: Vec<&str> = words.collect();
    let started = Instant::now();
    let done = match (command, rest.as_slice()) {
        ("run", _) => run_pod(&rest),
        ("build", []) => stage::build().map(drop),
        ("kernel", []) => stage::kernel(),
        ("install", []) => stage::install(Path::new("/usr/local")),
        ("install", [prefix]) => stage::install(Path::new(prefix)),
        ("uninstall", []) => stage::uninstall(Path::new("/usr/local")),
        ("uninstall", [prefix]) => stage::uninstall(Path::new(prefix)),
        ("test", []) => tests::all(None),
        ("test", [filter]) => tests::all(Some(filter)),
        ("cluster", _) => cluster::command(&rest),
        ("e2e", _) => e2e::command(&rest),
        ("bench", names) => bench::measure(names),
        ("docs", []) => tools::docs(),
        ("audit", []) => tools::audit(),
        ("lint", []) => tests::lint(),
        ("help" | "-h" | "--help", _) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => Err(Failure::new(format!(
            "`{}` is not a command: see `cargo xtask help`",
            arguments.join(" ")
        ))),
    };
    match done {
        Ok(()) => {
            if !matches!(command, "run" | "cluster") {
                eprintln!(
                    "xtask: {command} took {:.0} s",
                    started.elapsed().as_secs_f32()
                );
            }
            ExitCode::SUCCESS
        }
        Err(Failure {
            message: None,
            code,
        }) => ExitCode::from(code),
        Err(Failure {
            message: Some(message),
            code,
        }) => {
            eprintln!("xtask: {message}");
            ExitCode::from(code)
        }
    }
}

/// `cargo xtask run …`: `skete run …` from what is built here.
fn run_pod(arguments: &[&str]) -> Result<(), Failure> {
    if arguments.is_empty() {
        return Err(Failure::new(
            "run wants a Pod file or an image, as `skete run` does",
        ));
    }
    let staged = stage::build()?;
    stage::hello_image(&staged)?;
    let mut skete = Command::new(staged.join("bin/skete"));
    run(skete.arg("run").args(arguments)).map_err(Failure::quiet)
}

/// The root of this repository.
fn repository() -> PathBuf {
    // The directory of this crate's manifest, which is one below.
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_owned()
}

/// Where the kernel is kept between builds.
fn cache() -> PathBuf {
    std::env::var_os("SKETE_CACHE").map_or_else(
        || {
            let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
            Path::new(&home).join(".cache/skete")
        },
        PathBuf::from,
    )
}
