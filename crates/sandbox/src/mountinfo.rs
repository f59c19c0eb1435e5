//! The mounts that this process sees (`proc_pid_mountinfo(5)`).

use std::path::PathBuf;
use std::{fs, io};

use crate::block_device::Numbers;

/// Where they are told.
pub(crate) const PATH: &str = "/proc/self/mountinfo";

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Of the file system.
    pub(crate) device: Numbers,
    /// What of the file system is mounted.
    pub(crate) root: PathBuf,
    /// Where.
    pub(crate) point: PathBuf,
    /// Of this mount: `ro`, `nosuid`, …
    pub(crate) options: Vec<String>,
    /// `ext4`, `tmpfs`, …
    pub(crate) fs_type: String,
    /// The device or file that it was mounted from.
    pub(crate) source: PathBuf,
    /// Of the file system, for all of its mounts.
    pub(crate) fs_options: Vec<String>,
}

/// All of them; of those at one place the last one is on top.
///
/// # Errors
/// If `/proc` cannot be read.
pub(crate) fn read() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read_to_string(PATH)?))
}

/// Reads the text of a `mountinfo` file. A line that is none is left out.
pub(crate) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(Mount::parse).collect()
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(2);
        let (major, minor) = mount.next()?.split_once(':')?;
        let (root, point, options) = (mount.next()?, mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let fs_type = file_system.next()?.to_owned();
        Some(Self {
            device: (major.parse().ok()?, minor.parse().ok()?),
            root: unescape(root),
            point: unescape(point),
            options: list(options),
            fs_type,
            source: unescape(file_system.next()?),
            fs_options: list(file_system.next()?),
        })
    }
}

fn list(options: &str) -> Vec<String> {
    options.split(',').map(str::to_owned).collect()
}

/// The kernel writes blanks and backslashes in octal.
fn unescape(field: &str) -> PathBuf {
    let mut text = field.to_owned();
    for (escape, plain) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        text = text.replace(escape, plain);
    }
    text.into()
}

#[cfg(test)]
#[path = "mountinfo_test.rs"]
mod tests;
