//! Standard streams of a container: its output to the log and to those attached, their input to
//! the container.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{Mutex as AsyncMutex, mpsc, watch};
use tokio::task::JoinHandle;

use super::subscribers::Subscribers;
use crate::fifo;
use crate::logs::{LogWriter, Stream};

/// A pipe holds so many bytes.
const BUFFER: usize = 64 << 10;
/// After a process has ended, all it wrote is in the FIFOs; a shim that keeps them open is not
/// waited for longer.
const DRAIN: Duration = Duration::from_secs(5);

/// The output of one container's one run, on its way.
pub struct Output {
    pumps: Vec<JoinHandle<()>>,
    keepers: Vec<pipe::Sender>,
    log: Arc<Mutex<LogWriter>>,
    /// What a container that has ended left in its FIFOs is little, and its VM must not stay for
    /// the sake of somebody who reads slowly.
    hurry: watch::Sender<bool>,
}

impl Output {
    /// Begins to read the FIFOs.
    ///
    /// # Errors
    /// They cannot be opened.
    pub fn pump(
        fifos: &fifo::Paths,
        log: LogWriter,
        container: u8,
        subscribers: &Arc<Subscribers>,
    ) -> io::Result<Self> {
        let log = Arc::new(Mutex::new(log));
        let mut output = Self {
            pumps: Vec::new(),
            keepers: Vec::new(),
            log: Arc::clone(&log),
            hurry: watch::Sender::new(false),
        };
        let streams = [
            (Some(&fifos.stdout), Stream::Stdout),
            (fifos.stderr.as_ref(), Stream::Stderr),
        ];
        for (path, stream) in streams {
            let Some(path) = path else { continue };
            let (pipe, keeper) = fifo::Reader::open(path)?.split();
            output.keepers.extend(keeper);
            let subscribers = Arc::clone(subscribers);
            let log = Arc::clone(&log);
            output.pumps.push(tokio::spawn(carry(
                pipe,
                stream,
                log,
                container,
                subscribers,
                output.hurry.subscribe(),
            )));
        }
        Ok(output)
    }

    /// After the process has ended: reads what is left, and completes the log.
    pub async fn finish(mut self) {
        self.keepers.clear();
        self.hurry.send_replace(true);
        let deadline = tokio::time::Instant::now() + DRAIN;
        for pump in &mut self.pumps {
            if tokio::time::timeout_at(deadline, &mut *pump).await.is_err() {
                pump.abort();
            }
        }
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = log.flush() {
            tracing::warn!(%error, "cannot complete the log");
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        for pump in &self.pumps {
            pump.abort();
        }
    }
}

async fn carry(
    mut from: pipe::Receiver,
    stream: Stream,
    log: Arc<Mutex<LogWriter>>,
    container: u8,
    subscribers: Arc<Subscribers>,
    mut hurry: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; BUFFER];
    let mut complained = false;
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..length];
        let written = log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(stream, bytes);
        // A full disk must not stop the container; those attached still see what it writes.
        if let Err(error) = written
            && !complained
        {
            complained = true;
            tracing::error!(%error, "cannot write the container's log");
        }
        subscribers
            .output(container, stream, bytes, &mut hurry)
            .await;
    }
}

/// What goes to a container's standard input.
#[derive(Debug)]
pub enum Typed {
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing more comes.
    End,
}

/// Standard input of one container, over all its runs: what is typed before it runs waits.
pub struct Input {
    sender: mpsc::Sender<Typed>,
    queue: AsyncMutex<mpsc::Receiver<Typed>>,
}

impl Input {
    /// With nothing typed yet.
    pub fn new() -> Self {
        let (sender, queue) = mpsc::channel(16);
        Self {
            sender,
            queue: AsyncMutex::new(queue),
        }
    }

    /// Where to put what is typed.
    pub fn sender(&self) -> mpsc::Sender<Typed> {
        self.sender.clone()
    }

    /// Carries what is typed to a FIFO until its end has come.
    ///
    /// # Errors
    /// The FIFO cannot be opened or written.
    pub async fn pump(&self, mut to: pipe::Sender) -> io::Result<()> {
        let mut queue = self.queue.lock().await;
        while let Some(Typed::Bytes(bytes)) = queue.recv().await {
            to.write_all(&bytes).await?;
        }
        Ok(())
    }
}

impl Default for Input {
    fn default() -> Self {
        Self::new()
    }
}
