//! Bytes of the guest that a host socket would not take yet.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use vm_memory::bitmap::BitmapSlice;

use crate::chain::Pieces;

/// A queue of bytes; it is bounded by the credit that the guest was given.
#[derive(Default)]
pub(crate) struct Backlog {
    bytes: VecDeque<u8>,
}

impl Backlog {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends all of the pieces.
    pub(crate) fn push<B: BitmapSlice>(&mut self, pieces: &Pieces<'_, B>) {
        for piece in pieces.iter() {
            let old = self.bytes.len();
            self.bytes.resize(old + piece.len(), 0);
            let (front, back) = self.bytes.as_mut_slices();
            let tail = old.saturating_sub(front.len());
            let front_len = front.len();
            let copied = piece.copy_to(front.split_at_mut(old.min(front_len)).1);
            if let Ok(rest) = piece.offset(copied) {
                rest.copy_to(back.split_at_mut(tail).1);
            }
        }
    }

    /// Writes as much as the socket takes, and gives the number of bytes.
    ///
    /// # Errors
    /// The socket takes no more, ever.
    pub(crate) fn write_to(&mut self, mut stream: &UnixStream) -> io::Result<usize> {
        let mut total = 0;
        while !self.bytes.is_empty() {
            match stream.write(self.bytes.as_slices().0) {
                Ok(0) => break,
                Ok(count) => {
                    self.bytes.drain(..count);
                    total += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.bytes.is_empty() {
            self.clear();
        }
        Ok(total)
    }

    /// Drops all bytes and the memory they took: thousands of connections are idle most of the time.
    pub(crate) fn clear(&mut self) {
        self.bytes = VecDeque::new();
    }
}

#[cfg(test)]
#[path = "backlog_test.rs"]
mod tests;
