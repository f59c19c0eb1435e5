//! Standard input and output of this command, each on a thread of its own: a terminal that is
//! held, or a pager that is not read, must not keep a signal from being heeded.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::logs::Stream;
use crate::terminal::DetachKeys;
use crate::wire::CHUNK;

/// At the end, output has so long to be taken by a terminal that is held.
const FINISH_PATIENCE: Duration = Duration::from_secs(3600);

/// Something typed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// Bytes.
    Bytes(Vec<u8>),
    /// The keys that detach.
    Detach,
}

/// Standard input.
pub(crate) struct Keyboard {
    chunks: Option<mpsc::Receiver<Chunk>>,
}

impl Keyboard {
    /// Begins to read, if it is wanted; with `keys` the keys that detach are heeded.
    pub(crate) fn new(wanted: bool, keys: bool) -> Self {
        if !wanted {
            return Self { chunks: None };
        }
        let (sender, chunks) = mpsc::channel(1);
        // Not joined: it may sit in a read for ever.
        thread::spawn(move || {
            let mut buffer = vec![0; CHUNK];
            let mut detach = DetachKeys::default();
            loop {
                let length = match io::stdin().lock().read(&mut buffer) {
                    Ok(0) => return,
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => return,
                };
                let typed = &buffer[..length];
                let (bytes, detached) = if keys {
                    detach.pass(typed)
                } else {
                    (typed.to_vec(), false)
                };
                if !bytes.is_empty() && sender.blocking_send(Chunk::Bytes(bytes)).is_err() {
                    return;
                }
                if detached {
                    let _ = sender.blocking_send(Chunk::Detach);
                    return;
                }
            }
        });
        Self {
            chunks: Some(chunks),
        }
    }

    /// Whether there is something to read from.
    pub(crate) fn is_open(&self) -> bool {
        self.chunks.is_some()
    }

    /// What is typed next; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Chunk> {
        match &mut self.chunks {
            Some(chunks) => chunks.recv().await,
            None => None,
        }
    }
}

/// Standard output and error.
pub(crate) struct Printer {
    to: mpsc::Sender<(Stream, Vec<u8>)>,
    done: mpsc::Receiver<io::Result<()>>,
    waiting: VecDeque<(Stream, Vec<u8>)>,
    in_hand: usize,
}

impl Printer {
    /// Begins to write.
    pub(crate) fn new() -> Self {
        let (to, mut chunks) = mpsc::channel::<(Stream, Vec<u8>)>(1);
        let (report, done) = mpsc::channel(1);
        thread::spawn(move || {
            while let Some((stream, bytes)) = chunks.blocking_recv() {
                let written = match stream {
                    Stream::Stdout => {
                        let mut out = io::stdout().lock();
                        out.write_all(&bytes).and_then(|()| out.flush())
                    }
                    Stream::Stderr => io::stderr().write_all(&bytes),
                };
                if report.blocking_send(written).is_err() {
                    return;
                }
            }
        });
        Self {
            to,
            done,
            waiting: VecDeque::new(),
            in_hand: 0,
        }
    }

    /// Puts something in line.
    pub(crate) fn put(&mut self, stream: Stream, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.waiting.push_back((stream, bytes));
        }
    }

    /// Whether something is still being written: nothing more should be put in line then.
    pub(crate) fn is_busy(&self) -> bool {
        self.in_hand > 0 || !self.waiting.is_empty()
    }

    /// Waits for a piece to be written. May be given up and asked for again.
    pub(crate) async fn progress(&mut self) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        if self.in_hand == 0 {
            let permit = self.to.reserve().await.map_err(|_| gone())?;
            if let Some(chunk) = self.waiting.pop_front() {
                permit.send(chunk);
                self.in_hand = 1;
            }
        }
        if self.in_hand > 0 {
            let written = self.done.recv().await.ok_or_else(gone)?;
            self.in_hand = 0;
            written?;
        }
        Ok(())
    }

    /// Writes all that is in line, as far as somebody takes it.
    pub(crate) async fn finish(&mut self) {
        let all = async {
            while self.is_busy() {
                if self.progress().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(FINISH_PATIENCE, all).await;
    }
}
