//! What a host program says first: `CONNECT <port>\n`, the convention of Firecracker.

use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::RecvFlags;

/// The longest line taken, in bytes: `CONNECT 4294967295\n` has 19.
const MAX_LINE: usize = 32;

/// A host program that has connected and not yet said to which port.
pub(crate) struct Handshake {
    pub(crate) stream: UnixStream,
    pub(crate) deadline: Instant,
}

/// How far a handshake has got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The line is not complete.
    Waiting,
    /// The program asks for this port of the guest.
    Port(u32),
    /// The program hung up, or says something else.
    Failed,
}

impl Handshake {
    /// Reads the line, and nothing behind it, as soon as all of it is there.
    pub(crate) fn progress(&self) -> Progress {
        let mut line = Vec::with_capacity(MAX_LINE);
        // Only looked at, so that what follows the line stays in the socket, as does half a line.
        let peek = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        match rustix::net::recv(&self.stream, spare_capacity(&mut line), peek) {
            Ok((0, _)) => return Progress::Failed,
            Ok(_) => {}
            Err(Errno::AGAIN | Errno::INTR) => return Progress::Waiting,
            Err(_) => return Progress::Failed,
        }
        let Some(end) = line.iter().position(|&byte| byte == b'\n') else {
            return if line.len() < MAX_LINE {
                Progress::Waiting
            } else {
                Progress::Failed
            };
        };
        let Some(port) = parse(&line[..end]) else {
            return Progress::Failed;
        };
        let mut taken = [0; MAX_LINE];
        let line = &mut taken[..=end];
        let length = line.len();
        match rustix::net::recv(&self.stream, line, RecvFlags::DONTWAIT) {
            Ok((count, _)) if count == length => Progress::Port(port),
            _ => Progress::Failed,
        }
    }
}

fn parse(line: &[u8]) -> Option<u32> {
    let digits = line.strip_prefix(b"CONNECT ")?;
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
#[path = "handshake_test.rs"]
mod tests;
