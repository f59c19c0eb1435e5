//! How a command fails: one line, and an exit code as `docker run` has them.

use std::error::Error;
use std::fmt::Write;

/// Exit code of an error of Skete's own.
pub const OWN_ERROR: u8 = 125;
/// Exit code if a command is there and cannot be executed.
pub const CANNOT_EXECUTE: u8 = 126;
/// Exit code if a command is not there.
pub const NOT_FOUND: u8 = 127;

/// Why a command failed and what it exits with.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    message: Option<String>,
}

impl Failure {
    /// A failure with a line to tell.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(message.into()),
        }
    }

    /// An error of Skete's own with a line to tell.
    pub fn own(message: impl Into<String>) -> Self {
        Self::new(OWN_ERROR, message)
    }

    /// An exit code about which all has been said.
    pub fn quiet(code: u8) -> Self {
        Self {
            code,
            message: None,
        }
    }

    /// What the command exits with.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The line to tell, without `skete:`.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::own(chain(&error))
    }
}

/// An error and its sources in one line. A source that the level above has already told is left
/// out, and so is the end of line within a message.
pub fn chain(error: &dyn Error) -> String {
    let mut line = one_line(&error.to_string());
    let mut last = line.clone();
    let mut source = error.source();
    while let Some(error) = source {
        let message = one_line(&error.to_string());
        if !message.is_empty() && !last.contains(&message) {
            // Writing to a String cannot fail.
            let _ = write!(line, ": {message}");
            last = message;
        }
        source = error.source();
    }
    line
}

/// Several lines made one; control characters, which may come from a guest or a registry, made
/// visible.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for part in text.split(['\n', '\r']).map(str::trim) {
        if part.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push_str("; ");
        }
        for c in part.chars() {
            if c.is_control() {
                line.extend(c.escape_default());
            } else {
                line.push(c);
            }
        }
    }
    line
}

#[cfg(test)]
#[path = "failure_test.rs"]
mod tests;
