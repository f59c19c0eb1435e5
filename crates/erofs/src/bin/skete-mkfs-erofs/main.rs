//! `mkfs.erofs` for containerd's EROFS differ: makes an image of the layer on standard input, with
//! this crate's converter.
//!
//! A program of its own, and not a command of `skete`: what parses hostile layers as root has
//! nothing else in it.
#![forbid(unsafe_code)]

mod args;

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use args::{Convert, HELP, Parsed};
use skete_erofs::Options;

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "{0}, and there is no other mkfs.erofs on PATH: install erofs-utils 1.7 or later, or take \
         the option out of containerd's configuration"
    )]
    NotOurs(String),
    #[error("call {path}")]
    Call {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} is no regular file")]
    NotRegular(PathBuf),
    #[error("make {path}")]
    Create {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("make {path}")]
    Convert {
        path: PathBuf,
        #[source]
        source: skete_erofs::Error,
    },
    #[error("read the end of the tar stream")]
    Drain(#[source] io::Error),
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let done = match args::parse(arguments.clone()) {
        Parsed::Help => print(HELP),
        Parsed::Version => print(&format!(
            "mkfs.erofs (skete-erofs) {}\n",
            env!("CARGO_PKG_VERSION")
        )),
        Parsed::Convert(convert) => run(&convert),
        Parsed::NotOurs(reason) => Err(hand_on(&arguments, reason)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // One line: each level after the one it explains.
            let levels = std::iter::successors(Some(&failure as &dyn Error), |&e| e.source());
            let line: Vec<_> = levels.map(ToString::to_string).collect();
            eprintln!("mkfs.erofs (skete): {}", line.join(": "));
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> Result<(), Failure> {
    // Nobody may be left to read it.
    let _ = io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn run(convert: &Convert) -> Result<(), Failure> {
    let path = &convert.image;
    // Not a device: it would be cut to the image's size and removed on failure.
    if fs::symlink_metadata(path).is_ok_and(|file| !file.is_file()) {
        return Err(Failure::NotRegular(path.clone()));
    }
    let mut out = File::create(path).map_err(|source| Failure::Create {
        path: path.clone(),
        source,
    })?;
    let made = make(convert, &mut out);
    if made.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(path);
    }
    made
}

fn make(convert: &Convert, out: &mut File) -> Result<(), Failure> {
    let mut tar = io::stdin().lock();
    let options = Options {
        uuid: convert.uuid,
        ..Options::default()
    };
    skete_erofs::convert(&mut tar, out, &options).map_err(|source| Failure::Convert {
        path: convert.image.clone(),
        source,
    })?;
    // Padding after the archive: whoever writes it must not see a broken pipe.
    io::copy(&mut tar, &mut io::sink()).map_err(Failure::Drain)?;
    Ok(())
}

/// Becomes the next `mkfs.erofs` on `PATH`; comes back only if that fails.
fn hand_on(arguments: &[OsString], reason: String) -> Failure {
    let Some(path) = next_on_path() else {
        return Failure::NotOurs(reason);
    };
    let source = Command::new(&path).args(arguments).exec();
    Failure::Call { path, source }
}

/// The first `mkfs.erofs` on `PATH` after this program. Only after it, so that of two copies of
/// this program none calls the other for ever.
fn next_on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let own = std::env::current_exe().ok().and_then(|own| identity(&own));
    let candidates: Vec<PathBuf> = std::env::split_paths(&path)
        .map(|dir| dir.join("mkfs.erofs"))
        .filter(|candidate| is_program(candidate))
        .collect();
    let after = candidates
        .iter()
        .rposition(|candidate| own.is_some() && identity(candidate) == own)
        .map_or(0, |own| own + 1);
    candidates.into_iter().nth(after)
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The same file has the same, whatever its path.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}
