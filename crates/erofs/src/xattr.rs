//! Extended attributes as EROFS keeps them beside an inode.

use std::collections::BTreeMap;

use crate::error::{EntryError, Name};
use crate::limits::Limits;

/// Bytes of the header in front of an inode's attributes (`erofs_xattr_ibody_header`).
pub(crate) const HEADER: usize = 12;
/// What EROFS can hold per inode, less some room for [`opaque`].
const MAX_ENCODED: usize = 250_000;
/// The kernel's limit on an attribute's name, its namespace included.
const MAX_NAME: usize = 255;

const INDEX_TRUSTED: u8 = 4;

/// The marks by which overlayfs knows its own files. A layer says such things by whiteouts only;
/// passed on, an image's own marks could make a mount show the wrong files.
const OVERLAY: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Encodes a set of attributes, without the header. Attributes in namespaces that EROFS (like
/// most file systems) cannot hold, and overlayfs's own, are left out and counted in `dropped`.
pub(crate) fn encode(
    attributes: &[(Vec<u8>, Vec<u8>)],
    limits: &Limits,
    dropped: &mut u64,
) -> Result<Vec<u8>, EntryError> {
    let size = attributes
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > limits.max_xattr_bytes {
        return Err(EntryError::XattrsTooLarge {
            size,
            limit: limits.max_xattr_bytes,
        });
    }
    // Of two values for one name the last counts.
    let mut entries = BTreeMap::new();
    for (name, value) in attributes {
        if name.len() > MAX_NAME || name.contains(&0) || value.len() > usize::from(u16::MAX) {
            return Err(EntryError::BadXattr(Name::new(name)));
        }
        if OVERLAY.iter().any(|mark| name.starts_with(mark)) {
            *dropped += 1;
            continue;
        }
        match namespace(name) {
            Some((index, rest)) => {
                entries.insert((index, rest), value);
            }
            None if name.ends_with(b".") => return Err(EntryError::BadXattr(Name::new(name))),
            None => *dropped += 1,
        }
    }
    let mut encoded = Vec::new();
    for ((index, name), value) in entries {
        push(&mut encoded, index, name, value);
    }
    match encoded.len() > MAX_ENCODED {
        true => Err(EntryError::XattrsTooLarge {
            size,
            limit: MAX_ENCODED,
        }),
        false => Ok(encoded),
    }
}

/// The attribute that makes a directory hide those of lower layers, encoded.
pub(crate) fn opaque() -> Vec<u8> {
    let mut encoded = Vec::new();
    push(&mut encoded, INDEX_TRUSTED, b"overlay.opaque", b"y");
    encoded
}

fn push(out: &mut Vec<u8>, index: u8, name: &[u8], value: &[u8]) {
    // Both lengths were checked by the caller.
    out.push(name.len() as u8);
    out.push(index);
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(name);
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// EROFS's number for a namespace, and the name without it.
fn namespace(name: &[u8]) -> Option<(u8, &[u8])> {
    match name {
        b"system.posix_acl_access" => return Some((2, b"")),
        b"system.posix_acl_default" => return Some((3, b"")),
        _ => {}
    }
    [
        (1, &b"user."[..]),
        (INDEX_TRUSTED, b"trusted."),
        (6, b"security."),
    ]
    .into_iter()
    .find_map(|(index, prefix)| Some((index, name.strip_prefix(prefix)?)))
    .filter(|(_, rest)| !rest.is_empty())
}

#[cfg(test)]
#[path = "xattr_test.rs"]
mod tests;
