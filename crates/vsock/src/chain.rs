//! A descriptor chain as a row of pieces of guest memory.

use std::ops::Deref;

use virtio_queue::DescriptorChain;
use vm_memory::bitmap::{BS, BitmapSlice};
use vm_memory::{GuestMemory, Permissions, VolatileSlice};

use crate::packet::HEADER_LEN;

/// The most pieces of memory one packet may be spread over. Linux uses at most 19 (a header, and a
/// page for each fragment of a socket buffer); a chain of more is refused.
const MAX_PIECES: usize = 256;

/// Pieces of guest memory in order, which the guest may change at any time.
pub(crate) struct Pieces<'a, B> {
    pieces: Vec<VolatileSlice<'a, B>>,
    len: usize,
}

/// The pieces of memory behind a chain's descriptors that the device may write (`Write`) or those
/// that it may only read (`Read`); `None` if the chain leaves the guest's memory or has too many.
///
/// A chain that loops, or leaves the descriptor table, ends there: it is then shorter than its
/// packet says, and refused for that.
pub(crate) fn pieces<'a, M, T>(
    mem: &'a M,
    chain: DescriptorChain<T>,
    access: Permissions,
) -> Option<Pieces<'a, BS<'a, M::Bitmap>>>
where
    M: GuestMemory,
    T: Deref,
    T::Target: GuestMemory,
{
    let write = access == Permissions::Write;
    let mut pieces = Vec::with_capacity(2);
    let mut len = 0usize;
    for (count, descriptor) in chain.enumerate() {
        if count >= MAX_PIECES {
            return None;
        }
        if descriptor.is_write_only() != write || descriptor.len() == 0 {
            continue;
        }
        let slices = mem
            .get_slices(descriptor.addr(), descriptor.len() as usize, access)
            .ok()?;
        for slice in slices {
            let slice = slice.ok()?;
            if pieces.len() >= MAX_PIECES {
                return None;
            }
            len = len.checked_add(slice.len())?;
            pieces.push(slice);
        }
    }
    Some(Pieces { pieces, len })
}

impl<'a, B: BitmapSlice> Pieces<'a, B> {
    /// Bytes in all pieces.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &VolatileSlice<'a, B>> {
        self.pieces.iter()
    }

    /// Takes a packet's header off the front; `None` if the pieces are too short for one.
    pub(crate) fn split_header(self) -> Option<(Self, Self)> {
        if self.len < HEADER_LEN {
            return None;
        }
        let mut head = Vec::with_capacity(1);
        let mut tail = Vec::with_capacity(self.pieces.len());
        let mut left = HEADER_LEN;
        for piece in self.pieces {
            if left == 0 {
                tail.push(piece);
            } else if piece.len() <= left {
                left -= piece.len();
                head.push(piece);
            } else {
                let (first, second) = piece.split_at(left).ok()?;
                left = 0;
                head.push(first);
                tail.push(second);
            }
        }
        let len = self.len - HEADER_LEN;
        Some((
            Self {
                pieces: head,
                len: HEADER_LEN,
            },
            Self { pieces: tail, len },
        ))
    }

    /// Leaves out all but the first `len` bytes, and then the first `skip` of those.
    pub(crate) fn window(&self, skip: usize, len: usize) -> Self {
        let mut pieces = Vec::with_capacity(self.pieces.len());
        let (mut skip, mut left) = (skip, len.min(self.len).saturating_sub(skip));
        let total = left;
        for piece in &self.pieces {
            if left == 0 {
                break;
            }
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            let count = left.min(piece.len() - skip);
            if let Ok(part) = piece.subslice(skip, count) {
                pieces.push(part);
            }
            left -= count;
            skip = 0;
        }
        Self { pieces, len: total }
    }

    /// Copies as much as fits from the pieces.
    pub(crate) fn copy_to(&self, mut to: &mut [u8]) {
        for piece in &self.pieces {
            let count = piece.copy_to(to);
            to = to.split_at_mut(count).1;
        }
    }

    /// Copies as much as fits into the pieces.
    pub(crate) fn copy_from(&self, mut from: &[u8]) {
        for piece in &self.pieces {
            let count = piece.len().min(from.len());
            let (head, tail) = from.split_at(count);
            piece.copy_from(head);
            from = tail;
        }
    }
}

#[cfg(test)]
impl<'a> Pieces<'a, ()> {
    /// One piece for each slice.
    pub(crate) fn of(slices: &'a mut [Vec<u8>]) -> Self {
        let len = slices.iter().map(Vec::len).sum();
        let pieces = slices
            .iter_mut()
            .map(|slice| VolatileSlice::from(slice.as_mut_slice()))
            .collect();
        Self { pieces, len }
    }
}

#[cfg(test)]
#[path = "chain_test.rs"]
mod tests;
