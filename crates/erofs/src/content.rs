//! Streams the content of files into the image: whole blocks one after the other, and no blocks
//! for long runs of zeros, be they holes of the tar's or written out.

use std::io::{Read, Seek, Write};

use crate::error::{EntryError, Error};
use crate::format::BLOCK_BITS;
use crate::limits::Limits;
use crate::output::Output;
use crate::tar::{Entry, Reader};
use crate::tree::{Data, Extents, Tree};

/// Bytes handled at once, and the smallest hole: short runs of zeros are not worth a chunk table,
/// by which the kernel reads in smaller pieces.
const STEP: u64 = 1 << (BLOCK_BITS + STEP_BITS);
/// log2 of [`STEP`] in blocks.
const STEP_BITS: u8 = 4;
/// A file has at most this many pieces; of one with more, the pieces are larger. This bounds the
/// chunk table of a sparse file of terabytes.
const MAX_PIECES: u64 = 1 << 18;

/// What was written.
pub(crate) struct Written {
    pub(crate) data: Data,
    /// Bytes that take no room in the image.
    pub(crate) holes: u64,
}

/// Copies the current entry's content into the image.
pub(crate) fn write<R: Read, W: Write + Seek>(
    reader: &mut Reader<R>,
    out: &mut Output<'_, W>,
    tree: &mut Tree,
    entry: &Entry,
    limits: &Limits,
) -> Result<Written, Error> {
    let size = entry.size;
    if size == 0 {
        return Ok(Written {
            data: Data::Blocks(0),
            holes: 0,
        });
    }
    let mut piece_bits = STEP_BITS;
    while (size - 1) >> (BLOCK_BITS + piece_bits) >= MAX_PIECES {
        piece_bits += 1;
    }
    let piece = 1_u64 << (BLOCK_BITS + piece_bits);
    let start = out.block();
    let mut source = Source {
        entry,
        reader,
        position: 0,
        next: 0,
    };
    let mut runs: Vec<(u32, u32)> = Vec::new();
    let mut holes = 0;
    while source.position < size {
        let length = piece.min(size - source.position);
        // At least a whole piece of a hole, and all the pieces it covers at once.
        let hole = source.hole();
        let is_end = hole >= size - source.position;
        let pieces = if is_end {
            hole.div_ceil(piece)
        } else {
            hole / piece
        };
        if size >= STEP && pieces > 0 {
            let skipped = (pieces * piece).min(size - source.position);
            source.position += skipped;
            holes += skipped;
            add(&mut runs, false, pieces);
        } else {
            let written = write_piece(&mut source, out, length, size < STEP, limits)?;
            add(&mut runs, written, 1);
            holes += if written { 0 } else { length };
        }
    }
    out.pad()?;
    let data = match holes {
        0 => Data::Blocks(start),
        _ => tree.add_extents(&Extents {
            start,
            piece_bits: piece_bits.into(),
            runs,
        }),
    };
    Ok(Written { data, holes })
}

/// Writes `length` bytes of the file, unless they are all zeros; says whether it did.
fn write_piece<R: Read, W: Write + Seek>(
    source: &mut Source<'_, R>,
    out: &mut Output<'_, W>,
    length: u64,
    always: bool,
    limits: &Limits,
) -> Result<bool, Error> {
    let (mut done, mut zeros, mut any) = (0, 0, always);
    while done < length {
        let step = (length - done).min(STEP);
        let end = out.position() + zeros + step;
        if end > limits.max_image_bytes {
            let limit = limits.max_image_bytes;
            return Err(source.entry.error(EntryError::ImageTooLarge(limit)));
        }
        let window = out.window(step as usize)?;
        source.fill(window)?;
        done += step;
        if !any && is_zero(window) {
            zeros += step;
            continue;
        }
        any = true;
        if zeros > 0 {
            let held = window.to_vec();
            out.zeros(zeros)?;
            out.write(&held)?;
            zeros = 0;
        } else {
            out.commit(step as usize);
        }
    }
    Ok(any)
}

fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; STEP as usize] = [0; STEP as usize];
    bytes == &ZEROS[..bytes.len()]
}

/// Counts more pieces of hole or of data.
fn add(runs: &mut Vec<(u32, u32)>, data: bool, pieces: u64) {
    // At most MAX_PIECES in all.
    let pieces = pieces as u32;
    match (runs.last_mut(), data) {
        (Some((_, last)), true) => *last += pieces,
        (Some((last, 0)), false) => *last += pieces,
        (_, true) => runs.push((0, pieces)),
        (_, false) => runs.push((pieces, 0)),
    }
}

/// The file as it is to be, of what the tar stream holds and the holes between.
struct Source<'a, R> {
    entry: &'a Entry,
    reader: &'a mut Reader<R>,
    position: u64,
    /// The first segment of the map that does not lie wholly before the position.
    next: usize,
}

impl<R: Read> Source<'_, R> {
    /// The segment at or after the position.
    fn segment(&mut self) -> Option<(u64, u64)> {
        let Some(map) = &self.entry.map else {
            return Some((0, self.entry.size));
        };
        while let Some(&(offset, length)) = map.get(self.next) {
            if offset + length > self.position {
                return Some((offset, length));
            }
            self.next += 1;
        }
        None
    }

    /// Bytes from the position to the next data, or to the end.
    fn hole(&mut self) -> u64 {
        let next = self.segment().map_or(self.entry.size, |(offset, _)| offset);
        next.saturating_sub(self.position)
    }

    fn fill(&mut self, mut out: &mut [u8]) -> Result<(), Error> {
        while !out.is_empty() {
            let hole = self.hole();
            let (length, is_hole) = match self.segment() {
                _ if hole > 0 => (hole, true),
                Some((offset, length)) => (offset + length - self.position, false),
                None => (out.len() as u64, true),
            };
            let length = length.min(out.len() as u64) as usize;
            let (part, rest) = out.split_at_mut(length);
            if is_hole {
                part.fill(0);
            } else {
                self.reader.read_data(part)?;
            }
            self.position += length as u64;
            out = rest;
        }
        Ok(())
    }
}
