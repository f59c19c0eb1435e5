//! Finds virtio disks by their serial numbers, and cuts them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Kind};
use crate::sys;

/// virtio-blk's serial number has this many bytes.
const SERIAL_MAX: usize = 20;
/// A hot-plugged disk has to appear within this time.
const APPEAR_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two looks.
const POLL: Duration = Duration::from_millis(5);
/// The kernel has no more partitions on a disk.
const MAX_PARTITIONS: usize = 255;
/// Extents begin and end on pages.
const PAGE: u64 = 4096;

/// What can be wrong with a disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    /// The serial number could be none.
    #[error("`{0}` is no serial number of a virtio disk: 1 to {SERIAL_MAX} printable characters")]
    BadSerial(String),
    /// It did not appear.
    #[error("no disk with the serial number `{0}` appeared within {timeout} s", timeout = APPEAR_TIMEOUT.as_secs())]
    Missing(String),
    /// A range that is not on the disk or not on page bounds.
    #[error(
        "layer {index} at {offset}+{length} does not fit on the disk of {size} bytes, or is not page-aligned"
    )]
    BadExtent {
        /// Which, from 0, lowest layer first.
        index: usize,
        /// Bytes.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Bytes of the disk.
        size: u64,
    },
    /// More ranges than partitions.
    #[error("{0} layers on a disk; at most {MAX_PARTITIONS} are possible")]
    TooMany(usize),
    /// The kernel would not.
    #[error("cannot cut layer {index} from the disk")]
    Cut {
        /// Which.
        index: usize,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The device node or its attributes.
    #[error("cannot use the disk {name}")]
    Device {
        /// The kernel's name for it.
        name: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        let kind = match error {
            DiskError::Missing(_) => Kind::NotFound,
            DiskError::BadSerial(_) | DiskError::BadExtent { .. } | DiskError::TooMany(_) => {
                Kind::InvalidArgument
            }
            DiskError::Cut { .. } | DiskError::Device { .. } => Kind::Internal,
        };
        Self::of(kind, &error)
    }
}

/// A range of a disk in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Range {
    /// Where it begins.
    pub(crate) offset: u64,
    /// How long it is.
    pub(crate) length: u64,
}

/// Waits until the disk with that serial number is there; the kernel's name for it, like `vda`.
/// Blocks: for workers.
pub(crate) fn find(serial: &str) -> Result<String, DiskError> {
    check_serial(serial)?;
    let start = Instant::now();
    loop {
        // It is listed a moment before it can be opened.
        if let Some(name) = look(Path::new("/sys/block"), serial)
            && File::open(node(&name)).is_ok()
        {
            return Ok(name);
        }
        if start.elapsed() > APPEAR_TIMEOUT {
            return Err(DiskError::Missing(serial.to_owned()));
        }
        std::thread::sleep(POLL);
    }
}

fn check_serial(serial: &str) -> Result<(), DiskError> {
    let fits = (1..=SERIAL_MAX).contains(&serial.len());
    if fits && serial.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(DiskError::BadSerial(serial.to_owned()))
}

fn look(blocks: &Path, serial: &str) -> Option<String> {
    fs::read_dir(blocks).ok()?.flatten().find_map(|entry| {
        let found = fs::read_to_string(entry.path().join("serial")).ok()?;
        let name = entry.file_name().into_string().ok()?;
        (found.trim_end() == serial).then_some(name)
    })
}

/// The device node of a disk or of one of its partitions.
pub(crate) fn node(name: &str) -> PathBuf {
    Path::new("/dev").join(name)
}

/// A disk's major and minor number.
pub(crate) fn numbers(name: &str) -> io::Result<(i64, i64)> {
    let text = fs::read_to_string(format!("/sys/block/{name}/dev"))?;
    let numbers = text.trim_end().split_once(':');
    numbers
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .ok_or_else(|| io::Error::other(format!("`{text}` is no device's number")))
}

/// Makes the ranges of a disk into block devices; their nodes, in the same order. Ranges that
/// an earlier try has cut are taken as they are.
pub(crate) fn cut(name: &str, ranges: &[Range]) -> Result<Vec<PathBuf>, DiskError> {
    let device = |source| DiskError::Device {
        name: name.to_owned(),
        source,
    };
    let size = fs::read_to_string(format!("/sys/block/{name}/size")).map_err(device)?;
    let sectors: u64 = size
        .trim_end()
        .parse()
        .map_err(io::Error::other)
        .map_err(device)?;
    check_ranges(ranges, sectors.saturating_mul(512))?;
    let disk = File::open(node(name)).map_err(device)?;
    let mut nodes = Vec::with_capacity(ranges.len());
    for (index, range) in ranges.iter().enumerate() {
        let cut = |source| DiskError::Cut { index, source };
        let number = i32::try_from(index + 1)
            .map_err(io::Error::other)
            .map_err(cut)?;
        let offset = i64::try_from(range.offset)
            .map_err(io::Error::other)
            .map_err(cut)?;
        let length = i64::try_from(range.length)
            .map_err(io::Error::other)
            .map_err(cut)?;
        match sys::add_partition(disk.as_fd(), number, offset, length) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            result => result.map_err(cut)?,
        }
        nodes.push(node(&partition_name(name, number)));
    }
    Ok(nodes)
}

/// The kernel puts a `p` between a name that ends with a digit and the number.
fn partition_name(disk: &str, number: i32) -> String {
    let separator = if disk.ends_with(|last: char| last.is_ascii_digit()) {
        "p"
    } else {
        ""
    };
    format!("{disk}{separator}{number}")
}

fn check_ranges(ranges: &[Range], size: u64) -> Result<(), DiskError> {
    if ranges.len() > MAX_PARTITIONS {
        return Err(DiskError::TooMany(ranges.len()));
    }
    for (index, range) in ranges.iter().enumerate() {
        let aligned = range.offset.is_multiple_of(PAGE) && range.length.is_multiple_of(PAGE);
        let inside = range
            .offset
            .checked_add(range.length)
            .is_some_and(|end| end <= size);
        if range.length == 0 || !aligned || !inside {
            return Err(DiskError::BadExtent {
                index,
                offset: range.offset,
                length: range.length,
                size,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "disk_test.rs"]
mod tests;
