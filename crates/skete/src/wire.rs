//! What is said on a Pod's `attach.sock`, between its follower and whoever attaches.
//!
//! A frame is one byte of kind, four bytes of length (big-endian, at most [`MAX_FRAME`]) and that
//! many bytes. Bytes of a container's streams are frames of their own; everything else is JSON.
//! The socket is root's alone, and a frame that is not understood ends the connection.

use std::io;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::logs::Stream;
use crate::record::Timing;

/// A frame has at most so many bytes after its head.
pub const MAX_FRAME: usize = 1 << 20;
/// Bytes of a stream are cut to frames of so many.
pub const CHUNK: usize = 32 << 10;

const JSON: u8 = b'J';
const INPUT: u8 = b'I';
const OUTPUT: u8 = b'O';

/// What an attached command says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "say")]
pub enum Request {
    /// Send me output from now on.
    Attach {
        /// Only this container's; absent: every container's.
        #[serde(default)]
        container: Option<String>,
        /// My input is for this container's standard input.
        #[serde(default)]
        stdin: Option<String>,
    },
    /// Tell me what happens to the Pod.
    Watch,
    /// My standard input has ended.
    InputEnd,
    /// The terminal's size.
    Resize {
        /// Of the container with this name.
        container: String,
        /// Columns.
        columns: u16,
        /// Rows.
        rows: u16,
    },
    /// End the Pod: the signal, the grace period, then SIGKILL.
    Stop {
        /// Seconds; absent: what the Pod says.
        #[serde(default)]
        grace: Option<u64>,
        /// Instead of the image's stop signal.
        #[serde(default)]
        signal: Option<u32>,
    },
    /// Send a signal to the containers' first processes.
    Signal {
        /// Which.
        signal: u32,
        /// Only to this container.
        #[serde(default)]
        container: Option<String>,
    },
}

/// What the follower says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "say")]
pub enum Event {
    /// A request was carried out, or will be.
    Done,
    /// A request was refused.
    Refused {
        /// Why.
        message: String,
    },
    /// The VM runs.
    SandboxStarted,
    /// A container's process has started.
    ContainerStarted {
        /// Its name.
        container: String,
    },
    /// A container's process has ended.
    ContainerEnded {
        /// Its name.
        container: String,
        /// Exit code.
        exit_code: u32,
        /// Why.
        reason: String,
        /// One line more.
        #[serde(default)]
        message: String,
    },
    /// Every container that is to run has been started once.
    Started,
    /// The Pod has ended and everything of it is gone. The last thing said.
    Ended {
        /// What `skete run` exits with.
        exit_code: u32,
        /// One word.
        reason: String,
        /// One line more.
        #[serde(default)]
        message: String,
        /// Phases of the start.
        #[serde(default)]
        timings: Vec<Timing>,
    },
}

/// One frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame<T> {
    /// Something said.
    Say(T),
    /// Bytes for the attached container's standard input.
    Input(Vec<u8>),
    /// Bytes that a container wrote.
    Output {
        /// Its place in the record's list.
        container: u8,
        /// To which output.
        stream: Stream,
        /// What.
        bytes: Vec<u8>,
    },
}

impl<T: Serialize> Frame<T> {
    /// The frame as it goes over the socket.
    ///
    /// # Errors
    /// What is said is too long.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let (kind, head, body): (u8, Vec<u8>, std::borrow::Cow<'_, [u8]>) = match self {
            Self::Say(value) => (JSON, Vec::new(), serde_json::to_vec(value)?.into()),
            Self::Input(bytes) => (INPUT, Vec::new(), bytes.into()),
            Self::Output {
                container,
                stream,
                bytes,
            } => (OUTPUT, vec![*container, *stream as u8], bytes.into()),
        };
        let length = head.len() + body.len();
        let short = u32::try_from(length).ok().filter(|_| length <= MAX_FRAME);
        let length = short.ok_or_else(|| invalid("frame too long"))?;
        let mut frame = Vec::with_capacity(5 + head.len() + body.len());
        frame.push(kind);
        frame.extend_from_slice(&length.to_be_bytes());
        frame.extend_from_slice(&head);
        frame.extend_from_slice(&body);
        Ok(frame)
    }
}

/// Writes one frame.
///
/// # Errors
/// The socket is at fault, or the frame is too long.
pub async fn write<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    frame: &Frame<T>,
) -> io::Result<()> {
    to.write_all(&frame.encode()?).await
}

/// Reads one frame; `None` at the end.
///
/// # Errors
/// The socket is at fault, or the frame is not understood.
pub async fn read<T: for<'a> Deserialize<'a>>(
    from: &mut (impl AsyncRead + Unpin),
) -> io::Result<Option<Frame<T>>> {
    let mut head = [0u8; 5];
    match from.read_exact(&mut head[..1]).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    from.read_exact(&mut head[1..]).await?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > MAX_FRAME {
        return Err(invalid("frame too long"));
    }
    let mut body = vec![0u8; length];
    from.read_exact(&mut body).await?;
    match head[0] {
        JSON => Ok(Some(Frame::Say(serde_json::from_slice(&body)?))),
        INPUT => Ok(Some(Frame::Input(body))),
        OUTPUT => {
            let stream = match body.get(1) {
                Some(0) => Stream::Stdout,
                Some(1) => Stream::Stderr,
                _ => return Err(invalid("no such stream")),
            };
            Ok(Some(Frame::Output {
                container: body[0],
                stream,
                bytes: body.split_off(2),
            }))
        }
        _ => Err(invalid("no such kind of frame")),
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
#[path = "wire_test.rs"]
mod tests;
