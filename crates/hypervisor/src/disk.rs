//! Disks: a serial, and the files that they are made of.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// The longest serial of a virtio block device, in bytes (virtio 1.2, section 5.2.6).
pub const MAX_SERIAL: usize = 20;

/// A page: what a file of a concatenation has to be a multiple of, so that each begins on one.
pub const PAGE: u64 = 4096;

/// The unit of every disk.
const SECTOR: u64 = 512;

/// The longest path that QEMU reads from an extent line of a VMDK descriptor, in bytes.
const MAX_EXTENT_PATH: usize = 511;

/// The most extents of one disk: each is an open file of the monitor.
pub const MAX_EXTENTS: usize = 512;

/// Why a disk is refused.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A serial is 1 to 20 letters, digits, `-`, `_` or `.`.
    #[error("{0:?} is not a disk serial: 1 to 20 letters, digits, '-', '_' or '.'")]
    Serial(String),
    /// Fewer or more files than a disk can be made of.
    #[error("a disk is made of 1 to {MAX_EXTENTS} files, not {0}")]
    Count(usize),
    /// A disk of several files is for reading only.
    #[error("a disk of {0} files cannot be written to")]
    Writable(usize),
    /// A path that cannot stand in a disk descriptor.
    #[error(
        "{0:?} cannot be a file of a disk: its path must be absolute, shorter than 512 bytes and without quotes or control characters"
    )]
    Path(PathBuf),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A size that does not fill whole units.
    #[error("{} has {size} bytes, which is not a multiple of {unit} above zero", path.display())]
    Size {
        /// Which file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// What it has to be a multiple of.
        unit: u64,
    },
    /// Extents that do not follow each other.
    #[error("{} should begin at byte {expected} of the disk, not {offset}", path.display())]
    Gap {
        /// Which file.
        path: PathBuf,
        /// Where it was said to begin.
        offset: u64,
        /// Where the one before it ends.
        expected: u64,
    },
}

/// A file that is a range of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// The file, from its first byte to its last. A block device will do.
    pub file: PathBuf,
    /// Where it begins on the disk, in bytes; a multiple of [`PAGE`].
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// A disk of a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// What the guest finds it by: 1 to [`MAX_SERIAL`] letters, digits, `-`, `_` or `.`.
    pub serial: String,
    /// Whether the guest may only read it. A disk of several extents must say so.
    pub read_only: bool,
    /// Whether its content is worthless once the VM has ended: then a flush of the guest's does
    /// not wait for the host's disk.
    pub ephemeral: bool,
    /// What it is made of, in order and without gaps: see [`concatenate`] and [`Disk::whole`].
    pub extents: Vec<Extent>,
}

/// Lays files end to end, the first at byte 0.
///
/// # Errors
/// A file that cannot be read, or whose size is not a multiple of [`PAGE`] above zero.
pub fn concatenate<P: AsRef<Path>>(files: &[P]) -> Result<Vec<Extent>, DiskError> {
    let mut offset = 0;
    let mut extents = Vec::with_capacity(files.len());
    for path in files {
        let file = path.as_ref().to_owned();
        let length = size(&file)?;
        if length == 0 || length % PAGE != 0 {
            return Err(DiskError::Size {
                path: file,
                size: length,
                unit: PAGE,
            });
        }
        extents.push(Extent {
            file,
            offset,
            length,
        });
        offset += length;
    }
    Ok(extents)
}

impl Disk {
    /// A disk that is one file or block device of the host.
    ///
    /// # Errors
    /// It cannot be read, or is empty.
    pub fn whole(serial: &str, file: &Path, read_only: bool) -> Result<Disk, DiskError> {
        let length = size(file)?;
        let extents = vec![Extent {
            file: file.to_owned(),
            offset: 0,
            length,
        }];
        let disk = Disk {
            serial: serial.to_owned(),
            read_only,
            ephemeral: false,
            extents,
        };
        disk.check()?;
        Ok(disk)
    }

    /// Checks what can be told without opening the files.
    ///
    /// # Errors
    /// The first thing that cannot be honoured.
    pub fn check(&self) -> Result<(), DiskError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=MAX_SERIAL).contains(&self.serial.len()) || !self.serial.bytes().all(allowed) {
            return Err(DiskError::Serial(self.serial.clone()));
        }
        let count = self.extents.len();
        if !(1..=MAX_EXTENTS).contains(&count) {
            return Err(DiskError::Count(count));
        }
        if count > 1 && !self.read_only {
            return Err(DiskError::Writable(count));
        }
        let unit = if count == 1 { SECTOR } else { PAGE };
        let mut expected = 0;
        for extent in &self.extents {
            let path = extent.file.clone();
            let text = path.to_str().ok_or_else(|| DiskError::Path(path.clone()))?;
            let bad = |c: char| c == '"' || c.is_control();
            if !text.starts_with('/') || text.len() > MAX_EXTENT_PATH || text.contains(bad) {
                return Err(DiskError::Path(path));
            }
            if extent.length == 0 || extent.length % unit != 0 {
                return Err(DiskError::Size {
                    path,
                    size: extent.length,
                    unit,
                });
            }
            if extent.offset != expected {
                return Err(DiskError::Gap {
                    path,
                    offset: extent.offset,
                    expected,
                });
            }
            expected += extent.length;
        }
        Ok(())
    }

    /// The VMDK descriptor of a disk of several files (VMware's Virtual Disk Format 5.0): QEMU
    /// reads them as one disk, each extent at its place. Text only; nothing is copied.
    ///
    /// QEMU takes only extents that say `RW`; what keeps the disk from being written to is that it
    /// is opened read-only.
    #[must_use]
    pub fn vmdk(&self) -> String {
        let mut text = String::from(
            "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
             createType=\"monolithicFlat\"\n",
        );
        for extent in &self.extents {
            let sectors = extent.length / SECTOR;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "RW {sectors} FLAT \"{}\" 0", extent.file.display());
        }
        text
    }
}

/// The size in bytes of a file or of a block device.
fn size(path: &Path) -> Result<u64, DiskError> {
    let failed = |source| DiskError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        return Err(failed(io::Error::other(
            "neither a regular file nor a block device",
        )));
    }
    file.seek(SeekFrom::End(0)).map_err(failed)
}

#[cfg(test)]
#[path = "disk_test.rs"]
mod tests;
