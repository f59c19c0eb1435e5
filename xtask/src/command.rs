//! Running other programs.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use crate::repository;

/// Why a command of ours ended: a line for people, or nothing where the program itself has said it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What to print.
    pub(crate) message: Option<String>,
    /// The exit code.
    pub(crate) code: u8,
}

impl Failure {
    /// A failure with a line for people.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            code: 1,
        }
    }

    /// The failure of a program that has spoken for itself: its exit code, no words of ours.
    pub(crate) fn quiet(self) -> Self {
        Self {
            message: None,
            ..self
        }
    }

    /// An error and its sources in one line.
    pub(crate) fn chain(error: impl std::error::Error) -> Self {
        let mut line = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            line.push_str(": ");
            line.push_str(&error.to_string());
            source = error.source();
        }
        Self::new(line)
    }

    /// What failed to be done to a file, and why.
    pub(crate) fn io(what: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::new(format!("{what}: {error}"))
    }
}

/// The cargo that runs this, in the repository.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository()).args(arguments);
    cargo
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|error| {
        Failure::new(format!(
            "start {}: {error}",
            command.get_program().display()
        ))
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure {
        message: Some(format!("`{}` failed: {status}", line(command))),
        code: status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(1),
    })
}

/// What a program prints, if it succeeds.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// A name for all the inputs of something that is built once for each of them: the beginning of
/// their SHA-256.
pub(crate) fn digest(inputs: &str) -> io::Result<String> {
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(inputs.as_bytes())?;
    }
    let sum = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&sum.stdout)
        .chars()
        .take(24)
        .collect())
}

fn line(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
