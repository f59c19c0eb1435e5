//! What a guest, or its monitor, writes: read always, kept in part.
//!
//! A guest that floods its console must not fill the host's disk, and one whose output nobody
//! reads must not block for ever. So it is read as it comes, but not faster than [`RATE`], and
//! only the newest part is kept.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The most that is kept of a console on disk, in bytes, in two files of at most half of it each.
pub const CONSOLE_LIMIT: u64 = 1 << 20;

/// The most bytes of a console that are read in a second: what a flood may cost the host.
const RATE: usize = 2 << 20;

/// The bytes of one read.
const CHUNK: usize = 16 << 10;

/// The bytes that are kept in memory, to tell the end from.
const TAIL: usize = 8 << 10;

/// A file, and one beside it with the older part; together at most a limit.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    written: u64,
    limit: u64,
}

impl Log {
    /// Begins an empty file, readable by its owner alone.
    pub(crate) fn create(path: &Path, limit: u64) -> io::Result<Log> {
        let file = fresh(path)?;
        Ok(Log {
            path: path.to_owned(),
            file,
            written: 0,
            limit,
        })
    }

    /// Appends, and lets go of the older half when the file has reached its half of the limit.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let half = (self.limit / 2).max(1);
        while !bytes.is_empty() {
            if self.written >= half {
                let mut older = self.path.clone().into_os_string();
                older.push(".1");
                std::fs::rename(&self.path, older)?;
                self.file = fresh(&self.path)?;
                self.written = 0;
            }
            let room = usize::try_from(half - self.written).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.file.write_all(now)?;
            self.written += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }
}

fn fresh(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// The newest bytes of a stream.
#[derive(Clone, Default)]
pub(crate) struct Tail(Arc<Mutex<Vec<u8>>>);

impl Tail {
    fn push(&self, bytes: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(bytes);
        if tail.len() > 2 * TAIL {
            let old = tail.len() - TAIL;
            tail.drain(..old);
        }
    }

    /// The lines that are kept, oldest first, without characters that could move a cursor.
    pub(crate) fn lines(&self) -> Vec<String> {
        let tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&tail)
            .split(['\n', '\r'])
            .map(|line| {
                line.chars()
                    .filter(|c| !c.is_control())
                    .take(300)
                    .collect::<String>()
            })
            .map(|line| line.trim().to_owned())
            .filter(|line| !line.is_empty())
            .collect()
    }
}

/// Reads until the end, into memory and, if there is one, a log.
pub(crate) async fn keep(mut from: impl AsyncRead + Unpin, tail: Tail, mut log: Option<Log>) {
    let mut chunk = vec![0; CHUNK];
    let mut read = 0;
    while let Ok(n @ 1..) = from.read(&mut chunk).await {
        tail.push(&chunk[..n]);
        if let Some(kept) = &mut log
            && let Err(error) = kept.write(&chunk[..n])
        {
            // Still read: a full disk of the host is not the guest's fault.
            tracing::warn!(%error, path = %kept.path.display(), "a console is no longer kept");
            log = None;
        }
        read += n;
        if read >= RATE / 10 {
            read = 0;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[cfg(test)]
#[path = "console_test.rs"]
mod tests;
