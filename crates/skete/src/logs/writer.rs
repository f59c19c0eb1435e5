//! Writing a container's log.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Stream;

/// A log file is turned over when it has this many bytes; one older file is kept.
pub const MAX_FILE_BYTES: u64 = 10 << 20;
/// Runs of a container whose logs are kept: the one that goes on, and the one before.
const KEPT_RUNS: u32 = 2;
/// What the logs of one container take of the disk, at most.
pub const MAX_CONTAINER_BYTES: u64 = 2 * MAX_FILE_BYTES * KEPT_RUNS as u64;
/// A line is cut into parts of at most this many bytes, as containerd does.
const MAX_LINE_BYTES: usize = 16 << 10;

/// Appends what a container writes to its log. The disk it takes is bounded by two files of
/// [`MAX_FILE_BYTES`].
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
    /// What of an unfinished line has come: standard output's and standard error's.
    partial: [Vec<u8>; 2],
}

/// Removes the logs of a container's runs that are too old to be kept beside that of `run`: one
/// that is started again and again must not fill the disk either.
///
/// # Errors
/// They cannot be listed or removed.
pub fn forget_old(dir: &Path, run: u32) -> io::Result<()> {
    for (old, path) in super::files_of(dir)? {
        if old.saturating_add(KEPT_RUNS) <= run {
            crate::files::remove_file(&path)?;
            crate::files::remove_file(&older(&path))?;
        }
    }
    Ok(())
}

impl LogWriter {
    /// Begins or goes on with a log file.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::with_limit(path, MAX_FILE_BYTES)
    }

    pub(super) fn with_limit(path: &Path, limit: u64) -> io::Result<Self> {
        let file = open(path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path: path.into(),
            file,
            size,
            limit,
            partial: [Vec::new(), Vec::new()],
        })
    }

    /// Puts down some bytes that the container wrote. The beginning of a line waits for its rest.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn write(&mut self, stream: Stream, mut bytes: &[u8]) -> io::Result<()> {
        let now = Timestamp::now();
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let partial = &mut self.partial[stream as usize];
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES - partial.len();
            let window = &bytes[..bytes.len().min(room)];
            if let Some(end) = window.iter().position(|&b| b == b'\n') {
                partial.extend_from_slice(&window[..end]);
                line(&mut out, now, stream, true, partial);
                partial.clear();
                bytes = &bytes[end + 1..];
                continue;
            }
            partial.extend_from_slice(window);
            bytes = &bytes[window.len()..];
            // A newline that follows at once makes this the whole line.
            if partial.len() == MAX_LINE_BYTES && bytes.first() != Some(&b'\n') {
                line(&mut out, now, stream, false, partial);
                partial.clear();
            } else if partial.len() == MAX_LINE_BYTES {
                line(&mut out, now, stream, true, partial);
                partial.clear();
                bytes = &bytes[1..];
            }
        }
        self.append(&out)
    }

    /// Puts down what has no newline at its end: nothing more comes, or not soon.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        let now = Timestamp::now();
        let mut out = Vec::new();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let partial = &mut self.partial[stream as usize];
            if !partial.is_empty() {
                line(&mut out, now, stream, false, partial);
                partial.clear();
            }
        }
        self.append(&out)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.size > 0 && self.size + bytes.len() as u64 > self.limit {
            self.turn_over()?;
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    fn turn_over(&mut self) -> io::Result<()> {
        std::fs::rename(&self.path, older(&self.path))?;
        self.file = open(&self.path)?;
        self.size = 0;
        Ok(())
    }
}

/// The name of the file that was turned over.
pub(super) fn older(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".1");
    path.with_file_name(name)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

fn line(out: &mut Vec<u8>, time: Timestamp, stream: Stream, full: bool, text: &[u8]) {
    let tag = if full { 'F' } else { 'P' };
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{time:.9} {} {tag} ", stream.as_str());
    out.extend_from_slice(text);
    out.push(b'\n');
}
