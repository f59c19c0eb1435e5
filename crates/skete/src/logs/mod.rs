//! Container logs in the format that the CRI prescribes: one line `TIME STREAM TAG TEXT`, where
//! the tag is `F` for a line's end and `P` for a part of a line that goes on.

mod reader;
mod writer;

pub use reader::{Follow, LogReader, Selection, files_of};
pub use writer::{LogWriter, MAX_CONTAINER_BYTES, forget_old};

use jiff::Timestamp;

/// Which of its two outputs a container wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; a terminal's output too.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// One line of a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When it was written, as it stands in the file.
    pub time: Timestamp,
    /// To which output.
    pub stream: Stream,
    /// Whether the line ends here.
    pub full: bool,
    /// What was written, without the newline.
    pub text: Vec<u8>,
}

/// Reads one line of a log file, without its newline. `None` if it is not one.
pub fn parse(line: &[u8]) -> Option<Line> {
    let mut parts = line.splitn(4, |&b| b == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let full = match parts.next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    Some(Line {
        time,
        stream,
        full,
        text: parts.next().unwrap_or_default().to_vec(),
    })
}

#[cfg(test)]
#[path = "logs_test.rs"]
mod tests;
