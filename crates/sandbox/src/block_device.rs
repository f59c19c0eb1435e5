//! Block devices of the host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A device's major and minor number. A major number of 0 is that of a file system without one.
pub(crate) type Numbers = (u64, u64);

/// There is no such device.
#[derive(Debug, thiserror::Error)]
#[error("find the block device in {path}")]
pub struct NoDevice {
    /// Where the kernel describes it.
    path: PathBuf,
    /// What the kernel said.
    source: io::Error,
}

/// The device's node. Its links by number are udev's, which a small system lacks.
///
/// # Errors
/// If the host has no such device.
pub(crate) fn node((major, minor): Numbers) -> Result<PathBuf, NoDevice> {
    let path = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/uevent"));
    let named = fs::read_to_string(&path).and_then(|text| {
        text.lines()
            .find_map(|line| line.strip_prefix("DEVNAME="))
            .map(|name| Path::new("/dev").join(name))
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    });
    named.map_err(|source| NoDevice { path, source })
}
