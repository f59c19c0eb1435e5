//! Where the files of a tar archive are, without unpacking it.
//!
//! The archive is foreign, but none of its names ever becomes a path of this machine: they are
//! keys to byte ranges. What is bounded is therefore only the memory of the index.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A tar header and the unit of all sizes.
const BLOCK: u64 = 512;
/// Entries; an archive has a few for each layer.
const MAX_ENTRIES: usize = 100_000;
/// A PAX header or a long name.
const MAX_EXTENSION: u64 = 64 << 10;
/// Links followed from one name.
const MAX_LINKS: usize = 8;

/// The archive cannot be read as one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the archive")]
    Read(#[from] io::Error),
    /// It ends in the middle.
    #[error("the archive is cut short at byte {at}")]
    Truncated {
        /// Where it ends.
        at: u64,
    },
    /// It is not a tar at this place.
    #[error("it is not a tar archive at byte {at}: {reason}")]
    Malformed {
        /// Where the header is.
        at: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// More entries than are taken.
    #[error("the archive has more than {MAX_ENTRIES} entries")]
    TooMany,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    File { start: u64, size: u64 },
    Link(String),
}

/// An index of an archive's files.
#[derive(Debug)]
pub(super) struct Archive {
    file: Arc<File>,
    entries: HashMap<String, Entry>,
}

/// The bytes of one file within the archive.
#[derive(Debug)]
pub(super) struct Section {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Section {
    pub(super) fn len(&self) -> u64 {
        self.left
    }
}

impl Read for Section {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = buf
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut buf[..most], self.at)?;
        if n == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

impl Archive {
    /// Reads all headers.
    pub(super) fn index(file: File) -> Result<Self, Error> {
        let length = file.metadata()?.len();
        let mut entries = HashMap::new();
        let mut at = 0;
        let (mut long_name, mut long_link, mut pax) = (None, None, Pax::default());
        loop {
            if at + BLOCK > length {
                // Without an end marker, an archive that ends between entries is taken as GNU
                // tar takes it; one that was never begun is not.
                if at == length && at > 0 {
                    break;
                }
                return Err(Error::Truncated { at: length });
            }
            let mut block = [0; BLOCK as usize];
            file.read_exact_at(&mut block, at)?;
            if block.iter().all(|byte| *byte == 0) {
                break;
            }
            let header = at;
            let malformed = |reason| Error::Malformed { at: header, reason };
            check_sum(&block).ok_or(malformed("the header's checksum is wrong"))?;
            let kind = block[156];
            let wrong_size = || malformed("the size is not a number");
            let size = match (kind, pax.size) {
                (b'x' | b'g' | b'L' | b'K', _) | (_, None) => {
                    number(&block[124..136]).ok_or_else(wrong_size)?
                }
                (_, Some(size)) => size,
            };
            let start = at + BLOCK;
            let end = size.checked_add(start).filter(|end| *end <= length);
            let end = end.ok_or(Error::Truncated { at: length })?;
            at = end.next_multiple_of(BLOCK);
            let extension = || -> Result<Vec<u8>, Error> {
                if size > MAX_EXTENSION {
                    return Err(malformed("a header is too long"));
                }
                let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
                file.read_exact_at(&mut bytes, start)?;
                Ok(bytes)
            };
            match kind {
                b'L' => long_name = Some(text(&extension()?)),
                b'K' => long_link = Some(text(&extension()?)),
                b'x' => {
                    pax = Pax::parse(&extension()?).ok_or(malformed("a PAX header is wrong"))?
                }
                b'g' => {}
                _ => {
                    let extended = std::mem::take(&mut pax);
                    let name = extended.path.or(long_name.take());
                    let name = name.unwrap_or_else(|| full_name(&block));
                    let link = extended.link.or(long_link.take());
                    let link = || link.unwrap_or_else(|| text(&block[157..257]));
                    let entry = match kind {
                        b'0' | 0 | b'7' => Some(Entry::File { start, size }),
                        b'1' => clean(&link()).map(Entry::Link),
                        b'2' => join(&name, &link()).map(Entry::Link),
                        // Folders are nothing to look up; nothing else belongs here.
                        _ => None,
                    };
                    if let (Some(name), Some(entry)) = (clean(&name), entry) {
                        entries.insert(name, entry);
                    }
                    if entries.len() > MAX_ENTRIES {
                        return Err(Error::TooMany);
                    }
                }
            }
        }
        Ok(Self {
            file: Arc::new(file),
            entries,
        })
    }

    /// The bytes of a file by its name; links are followed within the archive.
    pub(super) fn open(&self, name: &str) -> Option<Section> {
        let mut name = clean(name)?;
        for _ in 0..MAX_LINKS {
            match self.entries.get(&name)? {
                Entry::File { start, size } => {
                    return Some(Section {
                        file: self.file.clone(),
                        at: *start,
                        left: *size,
                    });
                }
                Entry::Link(target) => name = target.clone(),
            }
        }
        None
    }
}

#[derive(Default)]
struct Pax {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl Pax {
    /// Parses `LENGTH KEY=VALUE\n` records (POSIX pax, "pax Extended Header").
    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ')?;
            let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
            let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
            bytes = bytes.get(length..)?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (&record[..equals], text(&record[equals + 1..]));
            match key {
                b"path" => pax.path = Some(value),
                b"linkpath" => pax.link = Some(value),
                b"size" => pax.size = Some(value.parse().ok()?),
                _ => {}
            }
        }
        Some(pax)
    }
}

fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn full_name(block: &[u8; 512]) -> String {
    let name = text(&block[..100]);
    // GNU's magic has times where ustar's has the prefix.
    match (&block[257..263], text(&block[345..500])) {
        (b"ustar\0", prefix) if !prefix.is_empty() => format!("{prefix}/{name}"),
        _ => name,
    }
}

/// Octal digits, or base 256 where the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return field.iter().enumerate().try_fold(0u64, |sum, (i, byte)| {
            let byte = if i == 0 { byte & 0x7f } else { *byte };
            sum.checked_mul(256)?.checked_add(u64::from(byte))
        });
    }
    let digits = text(field);
    match digits.trim() {
        "" => Some(0),
        digits => u64::from_str_radix(digits, 8).ok(),
    }
}

fn check_sum(block: &[u8; 512]) -> Option<()> {
    let told = number(&block[148..156])?;
    let bytes = block.iter().enumerate();
    let sum: u64 = bytes
        .map(|(i, byte)| {
            if (148..156).contains(&i) {
                32
            } else {
                u64::from(*byte)
            }
        })
        .sum();
    (sum == told).then_some(())
}

/// The name without `.`, `..` and empty parts; `None` if it leaves the archive.
fn clean(name: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// A symbolic link's target, from its own folder.
fn join(name: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    clean(&format!("{folder}/{target}"))
}

#[cfg(test)]
#[path = "tar_test.rs"]
mod tests;
