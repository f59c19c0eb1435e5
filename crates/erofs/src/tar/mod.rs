//! Reads a tar stream entry by entry.
//!
//! This is a reader of our own because the `tar` crate knows only one of GNU's four forms of
//! sparse file, reads a long name or a PAX header of any size into memory, and does not let a
//! caller tell a truncated stream from a failing one. What counts as well-formed follows
//! Go's `archive/tar`, with which the rest of the container world reads layers.

mod header;
mod pax;
mod source;

use std::io::Read;

use crate::error::{EntryError, Error, Name, TarError};
use crate::limits::Limits;
use header::{Header, RECORD, Segments};
use pax::Pax;
use source::Source;

/// Long names and PAX headers may have this many bytes, as in Go's `archive/tar`.
const MAX_EXTENSION: u64 = 1 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One entry without its data.
pub(crate) struct Entry {
    /// As it stands in the stream.
    pub(crate) name: Vec<u8>,
    /// The target of a hard or symbolic link.
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    /// Permissions alone.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    /// Bytes of the file, holes included.
    pub(crate) size: u64,
    /// Which ranges (offset, length) of the file the data holds; all of it without a map. In
    /// order, apart, within the size, and together as long as the data.
    pub(crate) map: Option<Segments>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) device: (u64, u64),
}

impl Entry {
    /// The error of this entry.
    pub(crate) fn error(&self, source: EntryError) -> Error {
        Error::Entry {
            entry: Name::new(&self.name),
            source,
        }
    }
}

/// What headers before an entry said about it.
#[derive(Default)]
struct Extensions {
    pax: Option<Pax>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

/// The stream.
pub(crate) struct Reader<R> {
    source: Source<R>,
    limits: Limits,
    /// Where the header of the current entry begins.
    header_at: u64,
    /// Bytes of the current entry's data still to read.
    data: u64,
    /// Bytes of padding after them.
    padding: u64,
    /// Name of the current entry, for errors while its data is read.
    current: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(inner: R, limits: &Limits) -> Self {
        Self {
            source: Source::new(inner, limits.max_tar_bytes),
            limits: limits.clone(),
            header_at: 0,
            data: 0,
            padding: 0,
            current: Vec::new(),
        }
    }

    /// Bytes of the stream that were read.
    pub(crate) fn offset(&self) -> u64 {
        self.source.offset()
    }

    /// The next entry, skipping what was not read of the last one; `None` at the archive's end.
    pub(crate) fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        self.skip_data()?;
        let mut extensions = Extensions::default();
        let mut extended = false;
        loop {
            self.header_at = self.source.offset();
            let mut block = [0; RECORD];
            if !self.block(&mut block)? || block.iter().all(|&b| b == 0) {
                if extended {
                    return Err(self.bad(TarError::StrayExtension));
                }
                self.finish()?;
                return Ok(None);
            }
            let header = Header::parse(&block).map_err(|e| self.bad(e))?;
            let size = header.size().map_err(|e| self.bad(e))?;
            match header.type_flag() {
                // Global headers hold comments; containerd passes over them, and so all
                // runtimes see the same files.
                b'g' => {
                    self.start_data(size);
                    self.skip_data()?;
                    continue;
                }
                b'x' | b'X' => {
                    let bytes = self.extension(size)?;
                    let max = self.limits.max_sparse_segments.saturating_mul(2);
                    let pax = Pax::parse(&bytes, max).map_err(|e| self.bad(e))?;
                    if extensions.pax.replace(pax).is_some() {
                        return Err(self.bad(TarError::StrayExtension));
                    }
                }
                b'L' => extensions.long_name = Some(self.long(size)?),
                b'K' => extensions.long_link = Some(self.long(size)?),
                _ => return self.entry(&header, size, extensions).map(Some),
            }
            extended = true;
        }
    }

    /// Reads the next bytes of the current entry's data.
    pub(crate) fn read_data(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let n = self.source.fill(out)?;
        self.data = self.data.saturating_sub(n as u64);
        if n < out.len() {
            Err(self.truncated())
        } else {
            Ok(())
        }
    }

    fn entry(&mut self, header: &Header<'_>, size: u64, ext: Extensions) -> Result<Entry, Error> {
        let pax = ext.pax.unwrap_or_default();
        let name = ext
            .long_name
            .or(pax.sparse.name)
            .or(pax.path)
            .unwrap_or_else(|| header.name());
        self.current.clone_from(&name);
        let type_flag = header.type_flag();
        let kind = match type_flag {
            // Before ustar, a directory was told by its name.
            0 | b'0' | b'7' if name.ends_with(b"/") => Kind::Directory,
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(self.bad_entry(EntryError::UnsupportedType(other.into()))),
        };
        // Only files have data; what other types give as a size means something else.
        let stored = match kind {
            Kind::File => pax.size.unwrap_or(size),
            _ if matches!(type_flag, 0 | b'0' | b'7') => pax.size.unwrap_or(size),
            _ => 0,
        };
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => (header.mtime().map_err(|e| self.bad(e))?, 0),
        };
        let uid = pax
            .uid
            .map_or_else(|| header.uid(), Ok)
            .map_err(|e| self.bad(e))?;
        let gid = pax
            .gid
            .map_or_else(|| header.gid(), Ok)
            .map_err(|e| self.bad(e))?;
        let device = match kind {
            Kind::CharDevice | Kind::BlockDevice => header.device().map_err(|e| self.bad(e))?,
            _ => (0, 0),
        };
        let mut entry = Entry {
            link: ext.long_link.or(pax.link).unwrap_or_else(|| header.link()),
            kind,
            mode: header.mode().map_err(|e| self.bad(e))?,
            uid: self.owner("uid", uid)?,
            gid: self.owner("gid", gid)?,
            mtime,
            size: if kind == Kind::File { stored } else { 0 },
            map: None,
            xattrs: pax.xattrs,
            device,
            name,
        };
        let mut sparse = None;
        if type_flag == b'S' {
            sparse = Some(self.gnu_sparse(header)?);
            self.start_data(stored);
        } else {
            self.start_data(stored);
            if kind == Kind::File && pax.sparse.major.is_some_and(|major| major >= 1) {
                sparse = Some((self.leading_map()?, pax.sparse.size));
            } else if let Some(map) = pax.sparse.map.filter(|_| kind == Kind::File) {
                if !map.len().is_multiple_of(2) {
                    return Err(self.bad_entry(EntryError::BadSparseMap));
                }
                let pairs = map.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
                sparse = Some((pairs, pax.sparse.size));
            }
        }
        if let Some((map, size)) = sparse {
            let size = size.filter(|&size| self.map_fits(&map, size));
            entry.size = size.ok_or_else(|| self.bad_entry(EntryError::BadSparseMap))?;
            entry.map = Some(map);
        }
        Ok(entry)
    }

    /// The map in an old GNU sparse header and the blocks after it.
    fn gnu_sparse(&mut self, header: &Header<'_>) -> Result<SparseMap, Error> {
        let (mut map, mut more, size) = header.gnu_sparse().map_err(|e| self.bad(e))?;
        while more {
            let mut block = [0; RECORD];
            if !self.block(&mut block)? {
                return Err(self.truncated());
            }
            let (slots, again) = header::gnu_sparse_block(&block).map_err(|e| self.bad(e))?;
            map.extend(slots);
            more = again;
            self.check_segments(map.len())?;
        }
        Ok((map, Some(size)))
    }

    /// The map of GNU's PAX sparse format 1.0: decimal numbers on lines of their own in front of
    /// the data (how many segments, then an offset and a length for each), padded to a record.
    fn leading_map(&mut self) -> Result<Segments, Error> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut digits = Vec::new();
        let mut wanted = None;
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            let mut block = [0; RECORD];
            if self.data < RECORD as u64 {
                return Err(self.bad_entry(EntryError::BadSparseMap));
            }
            self.read_data(&mut block)?;
            for byte in block {
                if byte != b'\n' {
                    digits.push(byte);
                    if digits.len() > 20 {
                        return Err(self.bad_entry(EntryError::BadSparseMap));
                    }
                    continue;
                }
                let number = pax::decimal(&digits);
                let number = number.ok_or_else(|| self.bad_entry(EntryError::BadSparseMap))?;
                digits.clear();
                if wanted.is_some() {
                    numbers.push(number);
                } else {
                    let segments = usize::try_from(number).unwrap_or(usize::MAX);
                    self.check_segments(segments)?;
                    wanted = Some(segments * 2);
                }
                if wanted == Some(numbers.len()) {
                    break;
                }
            }
        }
        Ok(numbers
            .chunks_exact(2)
            .map(|pair| (pair[0], pair[1]))
            .collect())
    }

    fn check_segments(&self, segments: usize) -> Result<(), Error> {
        let max = self.limits.max_sparse_segments;
        match segments > max {
            true => Err(self.bad_entry(EntryError::TooManySegments(max))),
            false => Ok(()),
        }
    }

    /// Whether the segments are in order, apart, within `size` and as long as the data.
    fn map_fits(&self, map: &[(u64, u64)], size: u64) -> bool {
        let mut end = 0_u64;
        let mut sum = 0_u64;
        for &(offset, length) in map {
            let Some(next) = offset.checked_add(length) else {
                return false;
            };
            if offset < end || next > size {
                return false;
            }
            end = next;
            sum += length;
        }
        sum == self.data
    }

    fn owner(&self, field: &'static str, value: u64) -> Result<u32, Error> {
        u32::try_from(value).map_err(|_| self.bad_entry(EntryError::BadOwner { field, value }))
    }

    /// The text of a GNU long name or link.
    fn long(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = self.extension(size)?;
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        Ok(bytes)
    }

    /// The data of a header that extends the next one.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Error> {
        if size > MAX_EXTENSION {
            return Err(self.bad(TarError::ExtensionTooLarge(size)));
        }
        let length = usize::try_from(size).unwrap_or_default();
        let mut bytes = vec![0; length];
        self.start_data(size);
        let n = self.source.fill(&mut bytes)?;
        self.data = 0;
        if n < length {
            return Err(self.bad(TarError::Truncated));
        }
        self.skip_data()?;
        Ok(bytes)
    }

    fn start_data(&mut self, size: u64) {
        self.data = size;
        self.padding = size.wrapping_neg() % RECORD as u64;
    }

    fn skip_data(&mut self) -> Result<(), Error> {
        let rest = self.data.saturating_add(self.padding);
        let truncated = self.source.skip(rest)? < rest;
        // Some writers leave out the padding after the very last entry, and nothing is lost.
        let padding_alone = self.data == 0;
        (self.data, self.padding) = (0, 0);
        if truncated && !padding_alone {
            Err(self.truncated())
        } else {
            Ok(())
        }
    }

    /// Reads one record; `false` if the stream ends right before it.
    fn block(&mut self, block: &mut [u8; RECORD]) -> Result<bool, Error> {
        match self.source.fill(block)? {
            0 => Ok(false),
            RECORD => Ok(true),
            _ => Err(self.bad(TarError::Truncated)),
        }
    }

    /// Reads what follows the end mark, so that the caller's digest sees all of the stream.
    fn finish(&mut self) -> Result<(), Error> {
        let mut block = [0; RECORD];
        let n = self.source.fill(&mut block)?;
        if n == RECORD && block.iter().any(|&b| b != 0) {
            return Err(self.bad(TarError::LoneZeroBlock));
        }
        self.source.skip(u64::MAX)?;
        Ok(())
    }

    fn bad(&self, source: TarError) -> Error {
        Error::Stream {
            offset: self.header_at,
            source,
        }
    }

    fn bad_entry(&self, source: EntryError) -> Error {
        Error::Entry {
            entry: Name::new(&self.current),
            source,
        }
    }

    fn truncated(&self) -> Error {
        self.bad_entry(EntryError::Truncated)
    }
}

/// Segments of a sparse file, and its size if that was given.
type SparseMap = (Segments, Option<u64>);
