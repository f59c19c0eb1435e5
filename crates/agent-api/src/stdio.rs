//! The line that opens a stream on [`crate::STDIO_PORT`].

use std::fmt;
use std::str::FromStr;

/// What the agent answers when a stream is connected.
pub const OK_LINE: &str = "OK\n";
/// No line on a stream port is longer, in bytes, newline included.
pub const MAX_LINE: usize = 256;

/// Which of a process's standard streams a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StdioStream {
    /// Engine to process; closing the engine's half closes the process's standard input.
    Stdin,
    /// Process to engine.
    Stdout,
    /// Process to engine.
    Stderr,
    /// Both ways: the process's terminal.
    Terminal,
}

/// Names one stream of one process: `STREAM CONTAINER [EXEC]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StdioHeader {
    /// Which stream.
    pub stream: StdioStream,
    /// The container's id.
    pub container_id: String,
    /// The id of the exec; empty for the container's first process.
    pub exec_id: String,
}

/// A header line that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The first word names no stream.
    #[error("unknown stream `{0}`")]
    UnknownStream(String),
    /// There is no container id, or there are words after the exec id.
    #[error("expected `STREAM CONTAINER [EXEC]`")]
    Malformed,
}

impl fmt::Display for StdioStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdin => "stdin",
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Terminal => "terminal",
        })
    }
}

impl fmt::Display for StdioHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.stream, self.container_id)?;
        if !self.exec_id.is_empty() {
            write!(f, " {}", self.exec_id)?;
        }
        Ok(())
    }
}

impl FromStr for StdioHeader {
    type Err = HeaderError;

    fn from_str(line: &str) -> Result<Self, HeaderError> {
        let mut words = line.split_ascii_whitespace();
        let stream = match words.next().unwrap_or_default() {
            "stdin" => StdioStream::Stdin,
            "stdout" => StdioStream::Stdout,
            "stderr" => StdioStream::Stderr,
            "terminal" => StdioStream::Terminal,
            other => return Err(HeaderError::UnknownStream(other.to_owned())),
        };
        let container_id = words.next().ok_or(HeaderError::Malformed)?.to_owned();
        let exec_id = words.next().unwrap_or_default().to_owned();
        if words.next().is_some() {
            return Err(HeaderError::Malformed);
        }
        Ok(Self {
            stream,
            container_id,
            exec_id,
        })
    }
}

#[cfg(test)]
#[path = "stdio_test.rs"]
mod tests;
