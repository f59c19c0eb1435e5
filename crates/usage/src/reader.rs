//! Reads a journal, and tells what is wrong with one. Whoever has written it may have been killed
//! at any byte, the disk may have changed it since, and it may be of another program or time.

use std::io::{self, BufRead};

use crate::clock::Moment;
use crate::record::{BadLine, Event, MAGIC, MAX_LINE, Opening, Record, VERSION};

/// What is wrong with a journal. Nothing of one that is wrong counts.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be read.
    #[error("cannot be read")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("is not a usage journal: it does not begin with `{MAGIC}{VERSION}`")]
    NotAJournal,
    /// It was written by a later version of this program.
    #[error("has version {0}, and this program knows {VERSION}: use the newer skete")]
    Newer(u32),
    /// There is no whole record in it: its writer ended before the Pod's VM could be started.
    #[error("holds no whole record: its Pod never began")]
    Empty,
    /// A line that is not what was written, before others that are.
    #[error("line {line} is damaged, and others follow it: take the file from a copy")]
    Damaged {
        /// Counted from 1.
        line: u64,
    },
    /// A line that is what was written, and not understood.
    #[error("line {line} cannot be understood: {what}")]
    NotUnderstood {
        /// Counted from 1.
        line: u64,
        /// Why.
        what: &'static str,
    },
    /// Records are missing, or there twice.
    #[error("line {line} is record {found}, and record {expected} comes there")]
    Sequence {
        /// Counted from 1.
        line: u64,
        /// What comes there.
        expected: u32,
        /// What is there.
        found: u32,
    },
    /// The clock that never goes back has.
    #[error("line {line} was written earlier than the line before it")]
    ClockBack {
        /// Counted from 1.
        line: u64,
    },
    /// The first record is not the first, or the last not the last.
    #[error("line {line} is out of place: {what}")]
    Misplaced {
        /// Counted from 1.
        line: u64,
        /// Why.
        what: &'static str,
    },
    /// It was written in another start of the machine, or on another machine.
    #[error("is of boot {found}, and lies among those of boot {expected}: it is another node's")]
    OtherBoot {
        /// What its place says.
        expected: String,
        /// What itself says.
        found: String,
    },
}

/// The records of a journal, one after the other, the first of them apart.
#[derive(Debug)]
pub struct Reader<R> {
    lines: Lines<R>,
    opening: Opening,
    began: Moment,
    /// Of the record that was read last.
    sequence: u32,
    monotonic_ns: u64,
    ended: bool,
    over: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads the beginning: the version and the first record.
    ///
    /// # Errors
    /// It is no journal, not one of a known version, or has no whole record.
    pub fn new(input: R) -> Result<Self, JournalError> {
        let mut lines = Lines::new(input);
        lines.version()?;
        let first = lines.record()?.ok_or(JournalError::Empty)?;
        let line = lines.number;
        if first.sequence != 0 {
            return Err(JournalError::Sequence {
                line,
                expected: 0,
                found: first.sequence,
            });
        }
        let Event::Open(opening) = first.event else {
            let what = "the first record says who the Pod is";
            return Err(JournalError::Misplaced { line, what });
        };
        if opening.since_ns > Some(first.at.monotonic_ns) {
            let what = "its Pod begins before the time that it says itself";
            return Err(JournalError::NotUnderstood { line, what });
        }
        Ok(Self {
            lines,
            opening: *opening,
            began: first.at,
            sequence: 0,
            monotonic_ns: first.at.monotonic_ns,
            ended: false,
            over: false,
        })
    }

    /// The first record.
    pub fn opening(&self) -> &Opening {
        &self.opening
    }

    /// When the first record was written: the one moment at which the clocks are compared.
    pub fn began(&self) -> Moment {
        self.began
    }

    /// The record that was read last as it is written, without the end of its line.
    pub fn line(&self) -> &[u8] {
        &self.lines.line
    }

    /// How many bytes at the end are not a whole record, once all records were read: what a writer
    /// that was killed, or a machine that lost power, left there.
    pub fn torn_bytes(&self) -> u64 {
        self.lines.torn_bytes
    }

    fn checked(&mut self, record: &Record) -> Result<(), JournalError> {
        let line = self.lines.number;
        let misplaced = |what| Err(JournalError::Misplaced { line, what });
        let expected = self.sequence.wrapping_add(1);
        if record.sequence != expected {
            let found = record.sequence;
            return Err(JournalError::Sequence {
                line,
                expected,
                found,
            });
        }
        if self.ended {
            return misplaced("the Pod has ended before it");
        }
        if matches!(record.event, Event::Open(_)) {
            return misplaced("the Pod has begun before it");
        }
        if record.at.monotonic_ns < self.monotonic_ns {
            return Err(JournalError::ClockBack { line });
        }
        self.sequence = record.sequence;
        self.monotonic_ns = record.at.monotonic_ns;
        self.ended = matches!(record.event, Event::End(_));
        Ok(())
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Record, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let record = self.lines.record().transpose()?;
        let record = record.and_then(|record| self.checked(&record).map(|()| record));
        // After an error nothing is to be believed.
        self.over = record.is_err();
        Some(record)
    }
}

/// The lines of a file.
#[derive(Debug)]
struct Lines<R> {
    input: R,
    /// The line that was read last, without its end.
    line: Vec<u8>,
    /// Whether it is as long as it was meant to be.
    whole: bool,
    /// Its number, from 1.
    number: u64,
    torn_bytes: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            whole: false,
            number: 0,
            torn_bytes: 0,
        }
    }

    /// Reads the next line, of which no more is kept than a line may have; gives its length.
    fn next(&mut self) -> io::Result<Option<u64>> {
        self.line.clear();
        let mut length = 0;
        loop {
            let buffer = self.input.fill_buf()?;
            let (part, end) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) => (&buffer[..end], 1),
                None => (buffer, 0),
            };
            let kept = part.len().min(MAX_LINE - self.line.len());
            self.line.extend_from_slice(&part[..kept]);
            let read = part.len() + end;
            length += read as u64;
            if end == 1 || read == 0 {
                self.whole = end == 1 && length <= MAX_LINE as u64;
                self.number += 1;
                self.input.consume(read);
                return Ok((length > 0).then_some(length));
            }
            self.input.consume(read);
        }
    }

    fn version(&mut self) -> Result<(), JournalError> {
        if self.next()?.is_none() {
            return Err(JournalError::Empty);
        }
        if !self.whole {
            let begun = format!("{MAGIC}{VERSION}")
                .as_bytes()
                .starts_with(&self.line);
            return Err(match begun {
                true => JournalError::Empty,
                false => JournalError::NotAJournal,
            });
        }
        let text = std::str::from_utf8(&self.line).unwrap_or_default();
        let version = text.strip_prefix(MAGIC).and_then(|v| v.parse().ok());
        match version {
            Some(VERSION) => Ok(()),
            Some(newer) if newer > VERSION => Err(JournalError::Newer(newer)),
            _ => Err(JournalError::NotAJournal),
        }
    }

    /// The next record. Lines at the end that are none are torn off: nothing was written after a
    /// line that could not be finished.
    fn record(&mut self) -> Result<Option<Record>, JournalError> {
        let Some(mut torn) = self.next()? else {
            return Ok(None);
        };
        let line = self.number;
        match self.parse() {
            Ok(record) => return Ok(Some(record)),
            Err(BadLine::Content(what)) => return Err(JournalError::NotUnderstood { line, what }),
            Err(BadLine::Checksum) => {}
        }
        while let Some(length) = self.next()? {
            if self.parse() != Err(BadLine::Checksum) {
                return Err(JournalError::Damaged { line });
            }
            torn += length;
        }
        self.torn_bytes = torn;
        Ok(None)
    }

    fn parse(&self) -> Result<Record, BadLine> {
        if !self.whole {
            return Err(BadLine::Checksum);
        }
        Record::of_line(&self.line)
    }
}

#[cfg(test)]
#[path = "reader_test.rs"]
mod tests;
