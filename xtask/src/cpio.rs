//! A guest's initial file system: its first program as `/init`, and the directories that this
//! mounts on. A cpio archive in the `newc` format (`Documentation/driver-api/early-userspace`),
//! uncompressed, and the same bytes for the same program.
//!
//! Tests that boot a guest of their own have this file as a module too.

use std::io::Write;

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const DEVICE: u32 = 0o020_600;

/// The archive with this program.
pub(crate) fn archive(program: &[u8]) -> Vec<u8> {
    let mut cpio = Cpio::default();
    for directory in ["dev", "proc", "run", "sys"] {
        cpio.entry(directory, DIRECTORY, (0, 0), &[]);
    }
    // The kernel opens it as the first program's standard streams.
    cpio.entry("dev/console", DEVICE, (5, 1), &[]);
    cpio.entry("init", PROGRAM, (0, 0), program);
    cpio.entry("TRAILER!!!", 0, (0, 0), &[]);
    cpio.0
}

/// An archive that grows.
#[derive(Default)]
struct Cpio(Vec<u8>);

impl Cpio {
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        // Every entry is a file of its own: a number that repeats would be a hard link.
        let inode = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let links = if mode & 0o170_000 == DIRECTORY & 0o170_000 {
            2
        } else {
            1
        };
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        let fields = [
            inode, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0,
        ];
        self.0.extend_from_slice(b"070701");
        for field in fields {
            // Writing to a Vec cannot fail.
            let _ = write!(self.0, "{field:08x}");
        }
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(0);
        self.align();
        self.0.extend_from_slice(content);
        self.align();
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}
