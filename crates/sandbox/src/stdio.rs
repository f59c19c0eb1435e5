//! Carries the bytes of a process between containerd's FIFOs and the guest.
//!
//! FIFOs are opened for reading and writing, so that opening never waits for the other side and
//! a restart of containerd breaks nothing: what its next process has not read stays in the FIFO.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Bytes moved at a time, per stream.
const BUFFER: usize = 64 << 10;
/// After a process has ended, its output may be silent for this long before it counts as over,
/// though a child that outlived it still holds the pipe.
const SILENCE: Duration = Duration::from_secs(2);

/// How far a pump has come, for those who wait for its end.
#[derive(Default)]
struct Progress {
    bytes: AtomicU64,
    /// The FIFO is full: the guest is not silent, the reader is slow.
    blocked: AtomicBool,
}

/// The output of one process, on its way to the FIFOs.
#[derive(Default)]
pub struct Output {
    pumps: Vec<(JoinHandle<()>, Arc<Progress>)>,
}

/// The input of one process, on its way to the guest.
pub struct Input {
    close: Arc<Notify>,
    pump: JoinHandle<()>,
}

impl Output {
    /// Begins to carry a stream of the guest to the FIFO `path`.
    ///
    /// # Errors
    /// If the FIFO cannot be opened.
    pub fn pump(&mut self, from: OwnedReadHalf, path: &Path) -> io::Result<()> {
        let to = pipe::OpenOptions::new()
            .read_write(true)
            .open_sender(path)?;
        let progress = Arc::new(Progress::default());
        let task = tokio::spawn(copy_out(from, to, Arc::clone(&progress)));
        self.pumps.push((task, progress));
        Ok(())
    }

    /// Begins to read a stream that nobody wants, so that the process does not block on it.
    pub fn discard(&mut self, mut from: OwnedReadHalf) {
        let task = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
        });
        self.pumps.push((task, Arc::default()));
    }

    /// Waits until every byte has gone into the FIFOs. To be called after the process has ended:
    /// a stream that then stays open and silent for two seconds is given up.
    pub async fn drain(&mut self) {
        for (task, progress) in &mut self.pumps {
            let mut seen = progress.bytes.load(Ordering::Relaxed);
            while tokio::time::timeout(SILENCE, &mut *task).await.is_err() {
                let bytes = progress.bytes.load(Ordering::Relaxed);
                if bytes == seen && !progress.blocked.load(Ordering::Relaxed) {
                    task.abort();
                    break;
                }
                seen = bytes;
            }
        }
        self.pumps.clear();
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        for (task, _) in &self.pumps {
            task.abort();
        }
    }
}

impl Input {
    /// Begins to carry the FIFO `path` to the guest.
    ///
    /// # Errors
    /// If the FIFO cannot be opened.
    pub fn pump(path: &Path, to: OwnedWriteHalf) -> io::Result<Self> {
        let from = pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(path)?;
        let close = Arc::new(Notify::new());
        let pump = tokio::spawn(copy_in(from, to, Arc::clone(&close)));
        Ok(Self { close, pump })
    }

    /// An input that nobody writes to, and that stays open until it is closed.
    #[must_use]
    pub fn idle(mut to: OwnedWriteHalf) -> Self {
        let close = Arc::new(Notify::new());
        let closing = Arc::clone(&close);
        let pump = tokio::spawn(async move {
            closing.notified().await;
            // An error here means that the guest has closed it already.
            let _ = to.shutdown().await;
        });
        Self { close, pump }
    }

    /// Closes the process's standard input once the guest has what the FIFO still holds.
    pub fn close(&self) {
        self.close.notify_one();
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

async fn copy_out(mut from: OwnedReadHalf, mut to: pipe::Sender, progress: Arc<Progress>) {
    let mut buffer = vec![0; BUFFER];
    // An error of the guest's side ends the stream as its end does.
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        progress.bytes.fetch_add(length as u64, Ordering::Relaxed);
        progress.blocked.store(true, Ordering::Relaxed);
        if let Err(error) = to.write_all(&buffer[..length]).await {
            tracing::warn!(%error, "output FIFO");
            return;
        }
        progress.blocked.store(false, Ordering::Relaxed);
    }
}

async fn copy_in(mut from: pipe::Receiver, mut to: OwnedWriteHalf, close: Arc<Notify>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(length @ 1..) if to.write_all(&buffer[..length]).await.is_ok() => {}
                _ => return,
            },
            () = close.notified() => break,
        }
    }
    // What was in the FIFO when it was asked to close goes first. Read from the kernel itself:
    // tokio may not have heard yet that there is something.
    while let Ok(length @ 1..) = rustix::io::read(&from, &mut buffer) {
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    // An error here means that the guest has closed it already.
    let _ = to.shutdown().await;
}

#[cfg(test)]
pub(crate) mod testing {
    use std::path::PathBuf;

    /// A new FIFO, and the directory that it is in.
    pub(crate) fn fifo() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        (dir, path)
    }
}

#[cfg(test)]
#[path = "stdio_test.rs"]
mod tests;
