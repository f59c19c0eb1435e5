//! File access below a directory whose content a container may be changing meanwhile.
//!
//! Every path is resolved by the kernel with `openat2(2)`: it cannot leave the directory.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fchmod, mkdirat, openat2};
use rustix::io::Errno;

/// A directory, to be used as the root of all paths.
pub(crate) fn open_root(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(openat2(
        CWD,
        path,
        flags,
        Mode::empty(),
        ResolveFlags::NO_MAGICLINKS,
    )?)
}

/// Opens something below a root that stays below it; symbolic links in between are followed as
/// if the root were `/` when `links` says so, else refused.
pub(crate) fn open(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    mode: Mode,
    links: bool,
) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::NO_MAGICLINKS
        | if links {
            ResolveFlags::IN_ROOT
        } else {
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS
        };
    // The kernel asks for another try when a directory was renamed during the walk.
    for _ in 0..64 {
        match openat2(root, path, flags | OFlags::CLOEXEC, mode, resolve) {
            Err(Errno::AGAIN) => {}
            result => return Ok(result?),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Opens a directory below a root and makes what is missing of it, with the mode given.
pub(crate) fn make_directories(
    root: BorrowedFd<'_>,
    path: &Path,
    mode: u32,
    links: bool,
) -> io::Result<OwnedFd> {
    let mut directory = open(root, Path::new("."), OFlags::PATH, Mode::empty(), links)?;
    let mut walked = PathBuf::new();
    for component in path.components() {
        let name = match component {
            Component::RootDir | Component::CurDir => continue,
            Component::Normal(name) => name,
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::ErrorKind::InvalidInput.into());
            }
        };
        walked.push(name);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        directory = match open(root, &walked, flags, Mode::empty(), links) {
            Ok(next) => next,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mode = Mode::from_raw_mode(mode);
                let made = match mkdirat(directory.as_fd(), name, mode) {
                    Ok(()) => true,
                    Err(Errno::EXIST) => false,
                    Err(error) => return Err(error.into()),
                };
                if made {
                    // The process's mask has taken bits away.
                    let readable = OFlags::RDONLY | OFlags::DIRECTORY;
                    fchmod(open(root, &walked, readable, Mode::empty(), links)?, mode)?;
                }
                open(root, &walked, flags, Mode::empty(), links)?
            }
            Err(error) => return Err(error),
        };
    }
    Ok(directory)
}

/// Whether a path is relative and made of plain names only.
pub(crate) fn is_plain(path: &Path) -> bool {
    let mut components = path.components();
    path.as_os_str().len() < 4096
        && components.clone().next().is_some()
        && components.all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
#[path = "beneath_test.rs"]
mod tests;
