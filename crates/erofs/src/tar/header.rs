//! The 512 bytes that begin each entry: V7, ustar, GNU and star.

use crate::error::TarError;

/// Bytes of a header, and the unit to which data is padded.
pub(crate) const RECORD: usize = 512;

/// Ranges (offset, length) of a sparse file that hold data.
pub(crate) type Segments = Vec<(u64, u64)>;

/// One header as it stands in the stream.
pub(crate) struct Header<'a>(&'a [u8; RECORD]);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    V7,
    Ustar,
    Star,
    Gnu,
}

impl<'a> Header<'a> {
    /// Takes a header whose checksum is right, by unsigned or (as old tars did) signed bytes.
    pub(crate) fn parse(block: &'a [u8; RECORD]) -> Result<Self, TarError> {
        let said = number(&block[148..156], "checksum")?;
        let (mut unsigned, mut signed) = (0_i64, 0_i64);
        for (at, &byte) in block.iter().enumerate() {
            let byte = if (148..156).contains(&at) { b' ' } else { byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        if said == unsigned || said == signed {
            Ok(Self(block))
        } else {
            Err(TarError::Checksum)
        }
    }

    fn dialect(&self) -> Dialect {
        match (&self.0[257..265], &self.0[508..512]) {
            (b"ustar  \0", _) => Dialect::Gnu,
            ([b'u', b's', b't', b'a', b'r', 0, ..], b"tar\0") => Dialect::Star,
            ([b'u', b's', b't', b'a', b'r', 0, ..], _) => Dialect::Ustar,
            _ => Dialect::V7,
        }
    }

    /// The name, with ustar's prefix before it.
    pub(crate) fn name(&self) -> Vec<u8> {
        let name = text(&self.0[..100]);
        let prefix = match self.dialect() {
            Dialect::Ustar => text(&self.0[345..500]),
            Dialect::Star => text(&self.0[345..476]),
            Dialect::V7 | Dialect::Gnu => &[],
        };
        if prefix.is_empty() {
            name.to_vec()
        } else {
            [prefix, b"/", name].concat()
        }
    }

    pub(crate) fn link(&self) -> Vec<u8> {
        text(&self.0[157..257]).to_vec()
    }

    pub(crate) fn type_flag(&self) -> u8 {
        self.0[156]
    }

    pub(crate) fn mode(&self) -> Result<u16, TarError> {
        // Some writers put the file type into the upper bits; only the permissions count.
        let mode = number(&self.0[100..108], "mode")? & 0o7777;
        u16::try_from(mode).map_err(|_| TarError::Number("mode"))
    }

    pub(crate) fn uid(&self) -> Result<u64, TarError> {
        unsigned(&self.0[108..116], "uid")
    }

    pub(crate) fn gid(&self) -> Result<u64, TarError> {
        unsigned(&self.0[116..124], "gid")
    }

    pub(crate) fn size(&self) -> Result<u64, TarError> {
        unsigned(&self.0[124..136], "size")
    }

    pub(crate) fn mtime(&self) -> Result<i64, TarError> {
        number(&self.0[136..148], "mtime")
    }

    /// Major and minor device number; V7 headers have none.
    pub(crate) fn device(&self) -> Result<(u64, u64), TarError> {
        if self.dialect() == Dialect::V7 {
            return Ok((0, 0));
        }
        Ok((
            unsigned(&self.0[329..337], "devmajor")?,
            unsigned(&self.0[337..345], "devminor")?,
        ))
    }

    /// The old GNU sparse map's part in the header, whether more blocks follow, and the file's size.
    pub(crate) fn gnu_sparse(&self) -> Result<(Segments, bool, u64), TarError> {
        let size = unsigned(&self.0[483..495], "realsize")?;
        Ok((sparse_slots(&self.0[386..482])?, self.0[482] != 0, size))
    }
}

/// The map in a block that continues an old GNU sparse header, and whether another one follows.
pub(crate) fn gnu_sparse_block(b: &[u8; RECORD]) -> Result<(Segments, bool), TarError> {
    Ok((sparse_slots(&b[..504])?, b[504] != 0))
}

fn sparse_slots(bytes: &[u8]) -> Result<Segments, TarError> {
    let mut slots = Vec::new();
    for slot in bytes.chunks_exact(24) {
        // An empty slot ends the map.
        if slot[0] == 0 || slot[12] == 0 {
            break;
        }
        slots.push((
            unsigned(&slot[..12], "sparse")?,
            unsigned(&slot[12..], "sparse")?,
        ));
    }
    Ok(slots)
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|&b| b == 0).next().unwrap_or_default()
}

fn unsigned(field: &[u8], name: &'static str) -> Result<u64, TarError> {
    u64::try_from(number(field, name)?).map_err(|_| TarError::Number(name))
}

/// A number in octal digits, or in GNU's base-256 (first bit set, two's complement).
fn number(field: &[u8], name: &'static str) -> Result<i64, TarError> {
    let bad = || TarError::Number(name);
    if let [first, rest @ ..] = field
        && first & 0x80 != 0
    {
        let negative = first & 0x40 != 0;
        let top = if negative {
            i128::from(first | 0x80) - 256
        } else {
            i128::from(first & 0x7f)
        };
        let value = rest.iter().try_fold(top, |value, &byte| {
            value
                .checked_mul(256)
                .map(|v| v + i128::from(byte))
                .ok_or_else(bad)
        })?;
        return i64::try_from(value).map_err(|_| bad());
    }
    let blank = |b: &u8| matches!(b, b' ' | 0);
    let Some(first) = field.iter().position(|b| !blank(b)) else {
        return Ok(0);
    };
    let digits = field[first..].split(blank).next().unwrap_or_default();
    let after = &field[first + digits.len()..];
    if !after.iter().all(blank) {
        return Err(bad());
    }
    digits.iter().try_fold(0_i64, |value, &digit| match digit {
        b'0'..=b'7' => value
            .checked_mul(8)
            .and_then(|v| v.checked_add(i64::from(digit - b'0')))
            .ok_or_else(bad),
        _ => Err(bad()),
    })
}

#[cfg(test)]
#[path = "header_test.rs"]
mod tests;
