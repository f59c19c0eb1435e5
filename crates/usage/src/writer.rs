//! Writes a journal: one record a line, each by one system call, and never into the middle.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::clock::{Clock, SystemClock};
use crate::record::{Event, MAGIC, MAX_LINE, Opening, Record, VERSION};

/// A journal that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file or directory.
    #[error("{action} the usage journal {path}")]
    Io {
        /// `make`, `lock`, `write` or `sync`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The first record.
    #[error("the Pod's labels and annotations have more than {MAX_LINE} bytes: have fewer")]
    TooLong,
}

/// One Pod's journal, open for writing. While it is, nobody else can lock the file: so readers
/// see that the Pod runs.
#[derive(Debug)]
pub struct Writer<C = SystemClock> {
    file: File,
    path: PathBuf,
    clock: C,
    sequence: u32,
    /// Bytes of whole records.
    length: u64,
    /// A part of a record stands after them, and could not be cut off.
    torn: bool,
    /// Whether the directories that lead to the file were given to be put on the disk.
    named: bool,
}

impl<C: Clock> Writer<C> {
    /// Makes the file, and the directories above it for this user alone, and writes the first
    /// record.
    ///
    /// # Errors
    /// If the file is there already or cannot be written; it is gone then.
    pub fn create(path: &Path, opening: Opening, clock: C) -> Result<Self, WriteError> {
        if let Some(parent) = path.parent() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
            made.map_err(failed("make", path))?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(failed("make", path))?;
        let mut writer = Self {
            file,
            path: path.to_owned(),
            clock,
            sequence: 0,
            length: 0,
            torn: false,
            named: false,
        };
        let begun = writer
            .file
            .lock()
            .map_err(failed("lock", path))
            .and_then(|()| writer.begin(opening));
        if begun.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(path);
        }
        begun.map(|()| writer)
    }

    fn begin(&mut self, opening: Opening) -> Result<(), WriteError> {
        let line = self.line(Event::Open(Box::new(opening)))?;
        if line.len() > MAX_LINE {
            return Err(WriteError::TooLong);
        }
        self.put(&format!("{MAGIC}{VERSION}\n{line}"))
    }

    /// Writes one record. It is whole in the file when this returns, whoever is killed then; after
    /// a loss of power it may be gone.
    ///
    /// # Errors
    /// If the file system refuses, being full for instance. The journal is as it was before, and
    /// can be written to later.
    pub fn write(&mut self, event: Event) -> Result<(), WriteError> {
        if self.torn {
            self.cut()?;
        }
        let line = self.line(event)?;
        self.put(&line)
    }

    fn line(&self, event: Event) -> Result<String, WriteError> {
        let record = Record {
            sequence: self.sequence,
            at: self.clock.now(),
            event,
        };
        let line = record.to_line();
        line.map_err(|error| failed("write", &self.path)(error.into()))
    }

    fn put(&mut self, text: &str) -> Result<(), WriteError> {
        if let Err(source) = self.file.write_all(text.as_bytes()) {
            self.torn = true;
            // If it fails it is tried again before the next record.
            let _ = self.cut();
            return Err(failed("write", &self.path)(source));
        }
        self.length += text.len() as u64;
        self.sequence += 1;
        Ok(())
    }

    fn cut(&mut self) -> Result<(), WriteError> {
        let cut = self.file.set_len(self.length);
        cut.map_err(failed("write", &self.path))?;
        self.torn = false;
        Ok(())
    }

    /// What is to be done so that all that was written until now survives a loss of power. It may
    /// be done by another thread, since disks take their time.
    ///
    /// # Errors
    /// If the process has too many files open.
    pub fn pending(&mut self) -> Result<Pending, WriteError> {
        let file = self.file.try_clone();
        Ok(Pending {
            file: file.map_err(failed("sync", &self.path))?,
            path: self.path.clone(),
            named: std::mem::replace(&mut self.named, true),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that were written.
    pub fn length(&self) -> u64 {
        self.length
    }
}

/// Records that were written and may not be on the disk yet.
#[derive(Debug)]
pub struct Pending {
    file: File,
    path: PathBuf,
    /// Whether the directories that lead to the file are on the disk.
    named: bool,
}

impl Pending {
    /// Waits until they are. The file system writes what many Pods wait for in one go.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn sync(self) -> Result<(), WriteError> {
        let failed = |source| failed("sync", &self.path)(source);
        self.file.sync_data().map_err(failed)?;
        if self.named {
            return Ok(());
        }
        // The namespace's directory, the boot's, the one of all, and the one that holds that.
        for directory in self.path.ancestors().skip(1).take(4) {
            let synced = File::open(directory).and_then(|directory| directory.sync_all());
            synced.map_err(failed)?;
        }
        Ok(())
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> WriteError {
    move |source| WriteError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
#[path = "writer_test.rs"]
mod tests;
