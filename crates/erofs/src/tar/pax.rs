//! PAX extended headers: POSIX.1-2017 `pax`, with GNU's keys for sparse files and star's for
//! extended attributes.

use crate::error::TarError;

/// What the extended header of one entry said.
#[derive(Debug, Default)]
pub(crate) struct Pax {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    /// Seconds and nanoseconds.
    pub(crate) mtime: Option<(i64, u32)>,
    /// Names with their namespace, and values; of two with one name the last counts.
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: PaxSparse,
}

/// GNU's three ways to describe a sparse file.
#[derive(Debug, Default)]
pub(crate) struct PaxSparse {
    /// Version 1.x: the map stands before the data.
    pub(crate) major: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    /// The file's size with its holes.
    pub(crate) size: Option<u64>,
    /// Versions 0.0 and 0.1: offsets and lengths in turn.
    pub(crate) map: Option<Vec<u64>>,
}

impl Pax {
    /// Parses the records of one header. `max_numbers` bounds the sparse map.
    pub(crate) fn parse(mut rest: &[u8], max_numbers: usize) -> Result<Self, TarError> {
        let mut pax = Self::default();
        while !rest.is_empty() {
            // Some writers pad the records with NULs.
            if rest.iter().all(|&b| b == 0) {
                break;
            }
            let space = rest
                .iter()
                .take(20)
                .position(|&b| b == b' ')
                .ok_or(TarError::Pax)?;
            let length = decimal(&rest[..space]).ok_or(TarError::Pax)?;
            let length = usize::try_from(length).map_err(|_| TarError::Pax)?;
            let record = rest.get(space + 1..length).ok_or(TarError::Pax)?;
            let [record @ .., b'\n'] = record else {
                return Err(TarError::Pax);
            };
            let equals = record
                .iter()
                .position(|&b| b == b'=')
                .ok_or(TarError::Pax)?;
            pax.record(&record[..equals], &record[equals + 1..], max_numbers)?;
            rest = &rest[length..];
        }
        Ok(pax)
    }

    fn record(&mut self, key: &[u8], value: &[u8], max: usize) -> Result<(), TarError> {
        // An empty value takes back what an earlier record said.
        let given = !value.is_empty();
        let bytes = || given.then(|| value.to_vec());
        let number = |key| match given {
            true => decimal(value).map(Some).ok_or(TarError::PaxValue(key)),
            false => Ok(None),
        };
        match key {
            b"path" => self.path = bytes(),
            b"linkpath" => self.link = bytes(),
            b"size" => self.size = number("size")?,
            b"uid" => self.uid = number("uid")?,
            b"gid" => self.gid = number("gid")?,
            b"mtime" => {
                self.mtime = match given {
                    true => Some(time(value).ok_or(TarError::PaxValue("mtime"))?),
                    false => None,
                }
            }
            b"GNU.sparse.major" => self.sparse.major = number("GNU.sparse.major")?,
            b"GNU.sparse.name" => self.sparse.name = bytes(),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => {
                self.sparse.size = number("GNU.sparse.size")?;
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                let map = self.sparse.map.get_or_insert_default();
                // Offset and length take turns.
                let is_offset = key == b"GNU.sparse.offset";
                if map.len() >= max || map.len().is_multiple_of(2) != is_offset {
                    return Err(TarError::PaxValue("GNU.sparse.offset"));
                }
                map.extend(number("GNU.sparse.offset")?);
            }
            b"GNU.sparse.map" => {
                let bad = || TarError::PaxValue("GNU.sparse.map");
                let numbers = value.split(|&b| b == b',').filter(|_| given);
                let map: Option<Vec<u64>> = numbers.take(max + 1).map(decimal).collect();
                let map = map.filter(|m| m.len() <= max && m.len().is_multiple_of(2));
                self.sparse.map = Some(map.ok_or_else(bad)?);
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// A number in decimal digits alone.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Seconds since 1970, perhaps negative, perhaps with a fraction of which nine digits count.
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let (negative, value) = match value {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, value),
    };
    let mut parts = value.splitn(2, |&b| b == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction
        .iter()
        .map(|b| u32::from(b - b'0'))
        .chain(std::iter::repeat(0));
    let nanos = digits.take(9).fold(0, |value, digit| value * 10 + digit);
    match (negative, nanos) {
        (false, _) => Some((seconds, nanos)),
        (true, 0) => Some((-seconds, 0)),
        // -1.25 is a quarter of a second before -1, that is -2 and three quarters more.
        (true, _) => Some((-seconds - 1, 1_000_000_000 - nanos)),
    }
}

#[cfg(test)]
#[path = "pax_test.rs"]
mod tests;
