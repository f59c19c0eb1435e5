//! The bytes of the tar stream, counted and limited.

use std::io::{self, Read};

use crate::error::{Error, TarError};

/// Bytes asked of the source at once.
const BUFFER: usize = 256 * 1024;

/// A reader with a buffer that knows how far it is.
pub(crate) struct Source<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    offset: u64,
    limit: u64,
}

impl<R: Read> Source<R> {
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self {
            inner,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            offset: 0,
            limit,
        }
    }

    /// How many bytes have been handed out.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads until `out` is full or the stream ends; how many bytes it was.
    pub(crate) fn fill(&mut self, out: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        while done < out.len() {
            let rest = &mut out[done..];
            let n = if self.start < self.end {
                let n = rest.len().min(self.end - self.start);
                rest[..n].copy_from_slice(&self.buffer[self.start..self.start + n]);
                self.start += n;
                n
            } else if rest.len() >= BUFFER {
                read(&mut self.inner, rest, self.offset)?
            } else {
                self.start = 0;
                self.end = read(&mut self.inner, &mut self.buffer, self.offset)?;
                if self.end == 0 {
                    break;
                }
                continue;
            };
            if n == 0 {
                break;
            }
            self.advance(n)?;
            done += n;
        }
        Ok(done)
    }

    /// Reads over `count` bytes; how many there were.
    pub(crate) fn skip(&mut self, count: u64) -> Result<u64, Error> {
        let mut left = count;
        while left > 0 {
            if self.start == self.end {
                self.start = 0;
                self.end = read(&mut self.inner, &mut self.buffer, self.offset)?;
                if self.end == 0 {
                    break;
                }
            }
            let here = self.end - self.start;
            let n = usize::try_from(left).unwrap_or(usize::MAX).min(here);
            self.start += n;
            self.advance(n)?;
            left -= n as u64;
        }
        Ok(count - left)
    }

    fn advance(&mut self, n: usize) -> Result<(), Error> {
        self.offset += n as u64;
        if self.offset > self.limit {
            let source = TarError::TooLong(self.limit);
            return Err(Error::Stream {
                offset: self.offset,
                source,
            });
        }
        Ok(())
    }
}

fn read(inner: &mut impl Read, out: &mut [u8], offset: u64) -> Result<usize, Error> {
    loop {
        match inner.read(out) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Read { offset, source }),
            // A reader that claims more than it was given room for is broken.
            Ok(n) => return Ok(n.min(out.len())),
        }
    }
}
