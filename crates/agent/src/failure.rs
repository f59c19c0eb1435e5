//! What the engine is told when something fails: a kind it can act on and one clear line.

use std::error::Error;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use ttrpc::Code;

/// No message is longer, in bytes: parts of it may be names that a container chose.
const MAX_MESSAGE: usize = 1024;

/// The kinds of failure the engine tells apart; each is a ttrpc status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// The thing named does not exist: a container, a disk, an executable.
    NotFound,
    /// It exists and may not be used, such as a file that is not executable.
    PermissionDenied,
    /// The state does not allow it, or an executable is for another architecture.
    FailedPrecondition,
    /// The request itself is wrong.
    InvalidArgument,
    /// The name is in use.
    AlreadyExists,
    /// It took too long.
    DeadlineExceeded,
    /// All else.
    Internal,
}

/// A failure on its way to the engine, also from a worker process to PID 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// What the engine can act on.
    pub(crate) kind: Kind,
    /// One line without control characters.
    pub(crate) message: String,
}

impl Failure {
    /// A failure with a message, which is cut and cleaned to one line.
    pub(crate) fn new(kind: Kind, message: impl AsRef<str>) -> Self {
        let mut line = String::new();
        for char in message.as_ref().chars() {
            if line.len() >= MAX_MESSAGE {
                line.push('…');
                break;
            }
            line.push(if char.is_control() { ' ' } else { char });
        }
        Self {
            kind,
            message: line.trim_end().to_owned(),
        }
    }

    /// A failure that tells an error and all its sources, outermost first.
    pub(crate) fn of(kind: Kind, error: &(dyn Error + 'static)) -> Self {
        Self::new(kind, chain(error))
    }

    /// What a shell gives for a command that failed to start this way: 127 if it was not found.
    pub(crate) fn exit_code(&self) -> i32 {
        if self.kind == Kind::NotFound {
            127
        } else {
            126
        }
    }

    /// As [`Failure::of`], with a kind that fits most unexpected errors.
    pub(crate) fn internal(error: &(dyn Error + 'static)) -> Self {
        Self::of(Kind::Internal, error)
    }
}

/// An error and all its sources on one line; a level that repeats its source is told once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut last = line.clone();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if !last.ends_with(&text) {
            let _ = write!(line, ": {text}");
        }
        last = text;
        source = error.source();
    }
    line
}

impl From<Failure> for ttrpc::Error {
    fn from(failure: Failure) -> Self {
        let code = match failure.kind {
            Kind::NotFound => Code::NOT_FOUND,
            Kind::PermissionDenied => Code::PERMISSION_DENIED,
            Kind::FailedPrecondition => Code::FAILED_PRECONDITION,
            Kind::InvalidArgument => Code::INVALID_ARGUMENT,
            Kind::AlreadyExists => Code::ALREADY_EXISTS,
            Kind::DeadlineExceeded => Code::DEADLINE_EXCEEDED,
            Kind::Internal => Code::INTERNAL,
        };
        Self::RpcStatus(ttrpc::get_status(code, failure.message))
    }
}

#[cfg(test)]
#[path = "failure_test.rs"]
mod tests;
