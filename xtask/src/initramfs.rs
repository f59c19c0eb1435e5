//! Writes the guest's initial file system: the agent as `/init`, and the directories that it
//! mounts on. A cpio archive in the `newc` format (`Documentation/driver-api/early-userspace`),
//! uncompressed, and the same bytes for the same agent.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const DEVICE: u32 = 0o020_600;

/// Why there is no initial file system.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitramfsError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The agent is not a program that runs by itself.
    #[error("{} cannot be the guest's first program: {why}", path.display())]
    Agent {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Writes the archive with this agent to `out`.
pub(crate) fn build(agent: &Path, out: &Path) -> Result<(), InitramfsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| InitramfsError::File { path, source }
    };
    let program = fs::read(agent).map_err(failed(agent))?;
    check(&program).map_err(|why| InitramfsError::Agent {
        path: agent.to_owned(),
        why,
    })?;
    if let Some(dir) = out.parent() {
        fs::create_dir_all(dir).map_err(failed(dir))?;
    }
    let new = out.with_extension("new");
    fs::write(&new, archive(&program)).map_err(failed(&new))?;
    fs::rename(&new, out).map_err(failed(out))
}

/// A program that asks for an interpreter would not find it.
fn check(program: &[u8]) -> Result<(), &'static str> {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, len: usize| -> Option<u64> {
        let bytes = program.get(at..at + len)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |n, byte| n << 8 | u64::from(*byte)),
        )
    };
    // ELF, 64 bits, little-endian (System V ABI, chapter 4).
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Err("it is not a 64-bit ELF program");
    }
    let headers = || -> Option<Vec<u64>> {
        let (offset, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count)
            .map(|n| number(usize::try_from(offset + n * size).ok()?, 4))
            .collect()
    };
    match headers() {
        None => Err("its headers are cut off"),
        Some(kinds) if kinds.contains(&PT_INTERP.into()) => Err("it is not statically linked"),
        Some(_) => Ok(()),
    }
}

/// The archive.
fn archive(program: &[u8]) -> Vec<u8> {
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

#[cfg(test)]
#[path = "initramfs_test.rs"]
mod tests;
