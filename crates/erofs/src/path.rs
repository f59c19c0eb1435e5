//! Names of entries, taken apart as containerd does: relative to the layer's root whatever they
//! begin with.

use crate::error::{EntryError, Name};
use crate::format::NAME_MAX;

/// Why a path cannot be one within the layer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PathError {
    Escapes,
    Other(EntryError),
}

/// The components of a path, without `.` and with `..` resolved. None for the root.
pub(crate) fn components(path: &[u8], max: usize) -> Result<Vec<&[u8]>, PathError> {
    if path.is_empty() || path.contains(&0) {
        return Err(PathError::Other(EntryError::BadName));
    }
    if path.len() > max {
        let length = path.len();
        return Err(PathError::Other(EntryError::PathTooLong {
            length,
            limit: max,
        }));
    }
    let mut components = Vec::new();
    for component in path.split(|&b| b == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop().ok_or(PathError::Escapes)?;
            }
            name if name.len() > NAME_MAX => {
                return Err(PathError::Other(EntryError::NameTooLong(name.len())));
            }
            name => components.push(name),
        }
    }
    Ok(components)
}

/// The components of an entry's own name.
pub(crate) fn of_entry(name: &[u8], max: usize) -> Result<Vec<&[u8]>, EntryError> {
    components(name, max).map_err(|e| match e {
        PathError::Escapes => EntryError::Escapes,
        PathError::Other(e) => e,
    })
}

/// The components of a hard link's target.
pub(crate) fn of_target(target: &[u8], max: usize) -> Result<Vec<&[u8]>, EntryError> {
    components(target, max).map_err(|e| match e {
        PathError::Escapes => EntryError::LinkTargetEscapes(Name::new(target)),
        PathError::Other(EntryError::BadName) => EntryError::LinkTargetMissing(Name::new(target)),
        PathError::Other(e) => e,
    })
}

#[cfg(test)]
#[path = "path_test.rs"]
mod tests;
