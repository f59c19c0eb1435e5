//! What containerd says of a container's root file system, as the layers of one disk.
//!
//! containerd's EROFS snapshotter describes a root file system by mounts: one `erofs` mount per
//! layer, perhaps an `mkfs/ext4` disk for the writable layer, and last an overlay over them whose
//! `lowerdir={{ overlay A B }}` names the layers by their index, topmost first. The engine mounts
//! none of them: the layers become one read-only disk of the guest, the writable layer is on the
//! guest's scratch disk. See `plugins/snapshots/erofs` and `core/mount/manager` of containerd 2.4.

use std::path::PathBuf;

use containerd_shim_protos::types::mount::Mount;
use skete_erofs::MAX_LAYERS;

/// Mounts that are no root file system of EROFS layers.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RootfsError {
    /// The snapshotter is another one.
    #[error(
        "rootfs mount {index} has type `{kind}`: Skete takes EROFS layers, so that the runtime \
         needs `snapshotter = \"erofs\"`"
    )]
    UnknownMount {
        /// In the request's list.
        index: usize,
        /// As given.
        kind: String,
    },
    /// There is no EROFS mount.
    #[error("the rootfs has no layer")]
    NoLayers,
    /// More than [`MAX_LAYERS`].
    #[error("the rootfs has {0} layers; at most {MAX_LAYERS} fit on its disk")]
    TooManyLayers(usize),
    /// An index of `lowerdir` that names no EROFS mount.
    #[error("rootfs overlay option `{0}` does not name EROFS mounts")]
    BadLowerdir(String),
    /// A merged metadata image.
    #[error("rootfs layer {0} is spread over several devices, which Skete does not take yet")]
    MultiDevice(PathBuf),
}

/// A container's root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rootfs {
    /// EROFS images, lowest layer first.
    pub layers: Vec<PathBuf>,
    /// Size of the writable layer's own disk, in bytes; 0: as the scratch disk has room.
    pub writable_bytes: u64,
}

impl Rootfs {
    /// Reads the mounts of a `CreateTaskRequest`.
    ///
    /// # Errors
    /// If they are not those of the EROFS snapshotter.
    pub fn from_mounts(mounts: &[Mount]) -> Result<Self, RootfsError> {
        let mut writable_bytes = 0;
        let mut layers: Vec<Option<PathBuf>> = Vec::with_capacity(mounts.len());
        let mut order = None;
        for (index, mount) in mounts.iter().enumerate() {
            match mount.type_.as_str() {
                "erofs" => {
                    let source = PathBuf::from(&mount.source);
                    if mount
                        .options
                        .iter()
                        .any(|option| option.starts_with("device="))
                    {
                        return Err(RootfsError::MultiDevice(source));
                    }
                    layers.push(Some(source));
                }
                kind if kind.ends_with("mkfs/ext4") => {
                    let size = |option: &String| {
                        option.strip_prefix("X-containerd.mkfs.size=")?.parse().ok()
                    };
                    writable_bytes = mount.options.iter().find_map(size).unwrap_or(0);
                    layers.push(None);
                }
                kind if kind.ends_with("overlay") => {
                    layers.push(None);
                    order = mount
                        .options
                        .iter()
                        .find(|option| option.starts_with("lowerdir="));
                }
                // A view of one layer is a bind mount of it.
                kind if kind.ends_with("bind") && index + 1 == mounts.len() && index > 0 => {
                    layers.push(None);
                }
                kind => {
                    return Err(RootfsError::UnknownMount {
                        index,
                        kind: kind.to_owned(),
                    });
                }
            }
        }
        let mut topmost_first: Vec<PathBuf> = match order {
            None => layers.into_iter().flatten().collect(),
            Some(option) => parse_lowerdir(option)
                .and_then(|indices| {
                    indices
                        .map(|index| layers.get(index).cloned().flatten())
                        .collect()
                })
                .ok_or_else(|| RootfsError::BadLowerdir(option.clone()))?,
        };
        match topmost_first.len() {
            0 => return Err(RootfsError::NoLayers),
            count if count > MAX_LAYERS => return Err(RootfsError::TooManyLayers(count)),
            _ => topmost_first.reverse(),
        }
        Ok(Self {
            layers: topmost_first,
            writable_bytes,
        })
    }
}

/// The indices of `lowerdir={{ overlay FIRST LAST }}` or `lowerdir={{ mount INDEX }}`.
fn parse_lowerdir(option: &str) -> Option<Box<dyn Iterator<Item = usize>>> {
    let template = option.strip_prefix("lowerdir={{")?.strip_suffix("}}")?;
    let words: Vec<_> = template.split_whitespace().collect();
    match words.as_slice() {
        ["mount", index] => Some(Box::new(std::iter::once(index.parse().ok()?))),
        ["overlay", first, last] => {
            let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
            // A range that leaves the list is refused where it is looked up; it must not be long.
            if first.abs_diff(last) > MAX_LAYERS {
                return None;
            }
            if first <= last {
                Some(Box::new(first..=last))
            } else {
                Some(Box::new((last..=first).rev()))
            }
        }
        _ => None,
    }
}

#[cfg(test)]
#[path = "rootfs_test.rs"]
mod tests;
