//! Writes the guest's initial file system, with the agent as its first program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cpio::archive;

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

#[cfg(test)]
#[path = "initramfs_test.rs"]
mod tests;
