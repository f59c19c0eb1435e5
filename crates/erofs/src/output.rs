//! The image's file, written from front to back in large pieces.

use std::io::{Seek, SeekFrom, Write};

use crate::error::Error;
use crate::format::{BLOCK, BLOCK_LEN};

/// Bytes collected before they are written.
const BUFFER: usize = 1 << 20;

/// A buffered writer that knows where it is.
pub(crate) struct Output<'a, W> {
    out: &'a mut W,
    buffer: Vec<u8>,
    /// Bytes of the buffer in use.
    used: usize,
    /// Where the buffer's first byte belongs.
    at: u64,
}

impl<'a, W: Write + Seek> Output<'a, W> {
    /// Takes an empty file and leaves its first block free.
    pub(crate) fn new(out: &'a mut W) -> Result<Self, Error> {
        let length = out.seek(SeekFrom::End(0)).map_err(Error::Write)?;
        if length != 0 {
            return Err(Error::OutputNotEmpty(length));
        }
        Ok(Self {
            out,
            buffer: vec![0; BUFFER],
            used: BLOCK_LEN,
            at: 0,
        })
    }

    /// Where the next byte goes.
    pub(crate) fn position(&self) -> u64 {
        self.at + self.used as u64
    }

    /// The number of the block where the next byte goes, which must begin there.
    pub(crate) fn block(&self) -> u32 {
        // The limit on the image's size keeps this within 32 bits.
        u32::try_from(self.position() / BLOCK).unwrap_or(u32::MAX)
    }

    /// Room for the next `length` (at most 64 KiB) bytes, with anything in it; they are part of
    /// the image when [`Self::commit`] says so.
    pub(crate) fn window(&mut self, length: usize) -> Result<&mut [u8], Error> {
        if self.used + length > BUFFER {
            self.flush()?;
        }
        Ok(&mut self.buffer[self.used..self.used + length])
    }

    /// Makes the first `length` bytes of the window part of the image.
    pub(crate) fn commit(&mut self, length: usize) {
        self.used += length;
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        for part in bytes.chunks(BUFFER / 16) {
            self.window(part.len())?.copy_from_slice(part);
            self.commit(part.len());
        }
        Ok(())
    }

    pub(crate) fn zeros(&mut self, mut count: u64) -> Result<(), Error> {
        while count > 0 {
            let part = count.min(BUFFER as u64 / 16) as usize;
            self.window(part)?.fill(0);
            self.commit(part);
            count -= part as u64;
        }
        Ok(())
    }

    /// Fills the block up.
    pub(crate) fn pad(&mut self) -> Result<(), Error> {
        self.zeros(self.position().wrapping_neg() % BLOCK)
    }

    /// Writes what is left, and the first block.
    pub(crate) fn finish(mut self, first: &[u8; BLOCK_LEN]) -> Result<(), Error> {
        self.flush()?;
        self.out.seek(SeekFrom::Start(0)).map_err(Error::Write)?;
        self.out.write_all(first).map_err(Error::Write)?;
        self.out.flush().map_err(Error::Write)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.out
            .seek(SeekFrom::Start(self.at))
            .map_err(Error::Write)?;
        self.out
            .write_all(&self.buffer[..self.used])
            .map_err(Error::Write)?;
        self.at += self.used as u64;
        self.used = 0;
        Ok(())
    }
}
