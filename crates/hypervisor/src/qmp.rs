//! A client of the QEMU Machine Protocol, as much of it as is needed here: one command at a time,
//! every line bounded, every answer waited for with a limit.
//!
//! The peer is a program that a hostile guest may have taken over, so what it says is data to
//! check: a line that is too long or not of the protocol ends the connection.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest line that is read, in bytes. The longest that our commands are answered with is a
/// tenth of it.
pub const MAX_LINE: usize = 64 << 10;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The connection failed.
    #[error("the connection to the monitor failed")]
    Io(#[from] std::io::Error),
    /// The monitor has closed the connection.
    #[error("the monitor has closed the connection")]
    Closed,
    /// A line is longer than [`MAX_LINE`].
    #[error("the monitor sent a line of more than {MAX_LINE} bytes")]
    TooLong,
    /// A line is not of the protocol.
    #[error("the monitor sent a line that is not of its protocol")]
    Malformed(#[source] Option<serde_json::Error>),
    /// No answer within the limit.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The monitor refused; its words.
    #[error("{0}")]
    Refused(String),
}

/// A line from the monitor.
#[derive(Debug, PartialEq)]
pub enum Message {
    /// The first line of a connection.
    Greeting,
    /// A command was done.
    Return {
        /// The command's number; `None` if the monitor does not say.
        id: Option<u64>,
        /// What it answered.
        value: Value,
    },
    /// A command was refused.
    Error {
        /// The command's number; `None` if the monitor does not say.
        id: Option<u64>,
        /// Why, in the monitor's words: one line, at most 512 characters.
        description: String,
    },
    /// Something happened.
    Event(Event),
}

/// Something that happened in the monitor.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its name, as `SHUTDOWN`.
    pub name: String,
    /// What comes with it; null if nothing does.
    pub data: Value,
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    #[serde(rename = "return")]
    value: Option<Value>,
    error: Option<Refusal>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    id: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    desc: String,
}

/// Reads one line of the protocol.
///
/// # Errors
/// [`QmpError::Malformed`] for all that is not one greeting, return, error or event.
pub fn parse(line: &[u8]) -> Result<Message, QmpError> {
    let line: Line = serde_json::from_slice(line).map_err(|e| QmpError::Malformed(Some(e)))?;
    let id = line.id;
    match (line.greeting, line.value, line.error, line.event) {
        (Some(_), None, None, None) => Ok(Message::Greeting),
        (None, Some(value), None, None) => Ok(Message::Return { id, value }),
        (None, None, Some(e), None) => Ok(Message::Error {
            id,
            description: one_line(&e.desc),
        }),
        (None, None, None, Some(name)) => Ok(Message::Event(Event {
            name,
            data: line.data,
        })),
        _ => Err(QmpError::Malformed(None)),
    }
}

/// Words from outside, fit to stand in a line of ours.
fn one_line(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(512).map(printable).collect()
}

/// A connection that takes commands.
pub struct Qmp {
    commands: tokio::sync::Mutex<Commands>,
    waiting: Arc<Waiting>,
}

struct Commands {
    writer: OwnedWriteHalf,
    next: u64,
    broken: bool,
}

type Answer = Result<Value, String>;

/// Who waits for an answer: at most one at a time.
#[derive(Default)]
struct Waiting(Mutex<Option<(u64, oneshot::Sender<Answer>)>>);

impl Waiting {
    fn put(&self, waiter: Option<(u64, oneshot::Sender<Answer>)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waiter;
    }

    /// Hands an answer to who waits for it. One that nobody waits for any more is dropped.
    fn answer(&self, id: Option<u64>, answer: Answer) {
        let mut waiter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiter
            .as_ref()
            .is_some_and(|(wanted, _)| Some(*wanted) == id)
            && let Some((_, sender)) = waiter.take()
        {
            // The waiter may have given up in this moment.
            let _ = sender.send(answer);
        }
    }
}

impl Qmp {
    /// Shakes hands, and then hands each event to `on_event` in a task of its own, whose handle
    /// comes back too: it ends when the connection does.
    ///
    /// # Errors
    /// A peer that does not speak the protocol, or not within `limit`.
    pub async fn connect(
        stream: UnixStream,
        limit: Duration,
        on_event: impl Fn(Event) + Send + 'static,
    ) -> Result<(Qmp, JoinHandle<()>), QmpError> {
        let (reader, writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let greeting = timeout(limit, next_line(&mut reader))
            .await
            .map_err(|_| QmpError::Timeout(limit))??
            .ok_or(QmpError::Closed)?;
        if parse(&greeting)? != Message::Greeting {
            return Err(QmpError::Malformed(None));
        }
        let waiting = Arc::new(Waiting::default());
        let task = tokio::spawn(dispatch(reader, Arc::clone(&waiting), on_event));
        let commands = Commands {
            writer,
            next: 0,
            broken: false,
        };
        let qmp = Qmp {
            commands: tokio::sync::Mutex::new(commands),
            waiting,
        };
        qmp.execute("qmp_capabilities", json!({}), limit).await?;
        Ok((qmp, task))
    }

    /// Has one command done, and returns what it answers.
    ///
    /// # Errors
    /// The command is refused, not answered within `limit`, or the connection is gone.
    pub async fn execute(
        &self,
        command: &str,
        arguments: Value,
        limit: Duration,
    ) -> Result<Value, QmpError> {
        let mut commands = self.commands.lock().await;
        if commands.broken {
            return Err(QmpError::Closed);
        }
        let id = commands.next;
        commands.next += 1;
        let mut line = json!({ "execute": command, "arguments": arguments, "id": id }).to_string();
        line.push('\n');
        let (sender, receiver) = oneshot::channel();
        self.waiting.put(Some((id, sender)));
        // A command that was written by half cannot be followed by another, so unless this one
        // gets through (a caller may give up waiting), the connection counts as broken.
        commands.broken = true;
        let exchange = async {
            commands.writer.write_all(line.as_bytes()).await?;
            commands.broken = false;
            receiver
                .await
                .map_err(|_| QmpError::Closed)?
                .map_err(QmpError::Refused)
        };
        timeout(limit, exchange)
            .await
            .map_err(|_| QmpError::Timeout(limit))?
    }
}

/// Reads lines until the connection ends or one is not of the protocol.
async fn dispatch(
    mut reader: BufReader<OwnedReadHalf>,
    waiting: Arc<Waiting>,
    on_event: impl Fn(Event) + Send + 'static,
) {
    loop {
        let message = match next_line(&mut reader).await {
            Ok(Some(line)) => parse(&line),
            Ok(None) => break,
            Err(error) => Err(error),
        };
        match message {
            Ok(Message::Return { id, value }) => waiting.answer(id, Ok(value)),
            Ok(Message::Error { id, description }) => waiting.answer(id, Err(description)),
            Ok(Message::Event(event)) => on_event(event),
            Ok(Message::Greeting) => break,
            Err(error) => {
                tracing::warn!(%error, "the connection to the VM monitor is given up");
                break;
            }
        }
    }
    // Whoever waits learns that no answer comes.
    waiting.put(None);
}

/// The next line without its end; `None` when the peer has closed.
async fn next_line<R: AsyncBufRead + Unpin>(reader: &mut R) -> Result<Option<Vec<u8>>, QmpError> {
    let mut line = Vec::new();
    let limit = MAX_LINE as u64 + 1;
    reader.take(limit).read_until(b'\n', &mut line).await?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) if line.len() >= MAX_LINE => Err(QmpError::TooLong),
        Some(_) => Err(QmpError::Closed),
    }
}

#[cfg(test)]
#[path = "qmp_test.rs"]
mod tests;
