//! Programs of the node that this crate calls: each with a time limit, and an error that holds
//! what the program said.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// A program that answers nothing for so long hangs. A restart of containerd takes a few seconds.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Characters of what a program said that an error repeats.
const SHOWN: usize = 500;

/// Why a program did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error("{0} is not on PATH")]
    Missing(String),
    /// It could not be started.
    #[error("run {program}")]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("{} did not end within {} s and was killed", .0.display(), TIME_LIMIT.as_secs())]
    Late(PathBuf),
    /// It failed.
    #[error("{call}: {said}")]
    Failed {
        /// The command line.
        call: String,
        /// Its last line on standard error.
        said: String,
    },
}

/// The first executable of that name in the directories of `path`, which is as in `PATH`.
#[must_use]
pub fn find(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .map(|dir| dir.join(name))
        .find(|candidate| is_executable(candidate))
}

/// The first executable of that name on this process's `PATH`.
///
/// # Errors
/// There is none.
pub fn find_own(name: &str) -> Result<PathBuf, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find(name, &path).ok_or_else(|| Error::Missing(name.to_owned()))
}

/// Runs a program to its end; what it wrote to standard output.
///
/// # Errors
/// It cannot be started, hangs, or fails.
pub fn run<A: AsRef<OsStr>>(program: &Path, arguments: &[A]) -> Result<String, Error> {
    let failed = |source| Error::Start {
        program: program.to_owned(),
        source,
    };
    let output = runtime().map_err(failed)?.block_on(async {
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        tokio::time::timeout(TIME_LIMIT, command.output()).await
    });
    let output = output
        .map_err(|_| Error::Late(program.to_owned()))?
        .map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut call: OsString = program.into();
    for argument in arguments {
        call.push(" ");
        call.push(argument);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().rev().find(|line| !line.trim().is_empty());
    Err(Error::Failed {
        call: call.to_string_lossy().into_owned(),
        said: match said {
            Some(line) => line.trim().chars().take(SHOWN).collect(),
            None => output.status.to_string(),
        },
    })
}

/// For one thing at a time that has to be waited for.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
#[path = "program_test.rs"]
mod tests;
