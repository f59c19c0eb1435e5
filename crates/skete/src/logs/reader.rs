//! Reading a container's log.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::writer::older;
use super::{Line, parse};

/// A line of a log file is never longer: text and what stands before it.
const MAX_RAW_LINE: usize = 64 << 10;

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection {
    /// Only what was written then or later.
    pub since: Option<Timestamp>,
    /// Only so many lines from the end.
    pub tail: Option<usize>,
}

/// The log files of a container's runs, the oldest first: the number of the run and its file.
///
/// # Errors
/// The directory cannot be read.
pub fn files_of(dir: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let run = path.file_name()?.to_str()?.strip_suffix(".log")?;
            Some((run.parse().ok()?, path))
        })
        .collect();
    files.sort();
    Ok(files)
}

/// Reads one run's log from its older file on.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
}

impl LogReader {
    /// A reader of the log with that path.
    pub fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    /// Gives each selected line to `each`, and comes back with where to go on.
    ///
    /// # Errors
    /// The log cannot be read, or `each` failed.
    pub fn read(
        &self,
        selection: Selection,
        mut each: impl FnMut(Line) -> io::Result<()>,
    ) -> io::Result<Follow> {
        let mut last = VecDeque::new();
        let mut give = |line: Line| -> io::Result<()> {
            if selection.since.is_some_and(|since| line.time < since) {
                return Ok(());
            }
            let Some(tail) = selection.tail else {
                return each(line);
            };
            let ended = line.full;
            last.push_back(line);
            // Parts of one line count as one.
            if ended {
                while last.iter().filter(|l: &&Line| l.full).count() > tail {
                    while last.pop_front().is_some_and(|l| !l.full) {}
                }
            }
            Ok(())
        };
        match File::open(older(&self.path)) {
            Ok(file) => {
                let mut follow = Follow::of(&self.path, Some(file));
                follow.lines(&mut give)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut follow = Follow::of(&self.path, None);
        follow.more(&mut give)?;
        if selection.tail != Some(0) {
            for line in last {
                each(line)?;
            }
        }
        Ok(follow)
    }
}

/// Where one has come to in a log that may still grow.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    file: Option<BufReader<File>>,
    partial: Vec<u8>,
}

impl Follow {
    fn of(path: &Path, file: Option<File>) -> Self {
        Self {
            path: path.into(),
            file: file.map(BufReader::new),
            partial: Vec::new(),
        }
    }

    /// Gives the lines that have come since.
    ///
    /// # Errors
    /// The log cannot be read, or `each` failed.
    pub fn more(&mut self, each: &mut impl FnMut(Line) -> io::Result<()>) -> io::Result<()> {
        self.open()?;
        self.lines(each)?;
        if self.was_turned_over()? {
            // What was written between the last read and the turning.
            self.lines(each)?;
            self.file = None;
            self.partial.clear();
            self.open()?;
            self.lines(each)?;
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        match File::open(&self.path) {
            Ok(file) => self.file = Some(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn was_turned_over(&self) -> io::Result<bool> {
        let Some(file) = &self.file else {
            return Ok(false);
        };
        match std::fs::metadata(&self.path) {
            Ok(now) => Ok(now.ino() != file.get_ref().metadata()?.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn lines(&mut self, each: &mut impl FnMut(Line) -> io::Result<()>) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        loop {
            let read = file.read_until(b'\n', &mut self.partial)?;
            if read == 0 {
                // A plain file remembers its end; go on from here when there is more.
                file.stream_position()?;
                return Ok(());
            }
            if self.partial.last() != Some(&b'\n') {
                if self.partial.len() > MAX_RAW_LINE {
                    self.partial.clear();
                }
                continue;
            }
            self.partial.pop();
            let line = parse(&self.partial);
            self.partial.clear();
            if let Some(line) = line {
                each(line)?;
            }
        }
    }
}
