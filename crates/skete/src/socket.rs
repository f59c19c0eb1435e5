//! Unix sockets whose path may be longer than a socket address holds.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use tokio::net::{UnixListener, UnixStream};

/// A socket address holds a path of so many bytes, without the NUL.
const LONGEST: usize = 107;

/// The path by which the kernel is told of a socket; a long one goes through a descriptor of its
/// directory, which must stay open for as long.
fn reachable(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    if path.as_os_str().len() <= LONGEST {
        return Ok((path.into(), None));
    }
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let descriptor = File::from(openat(CWD, directory, flags, Mode::empty())?);
    let short = PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
    Ok((short.join(name), Some(descriptor)))
}

/// Makes a socket that listens.
///
/// # Errors
/// It cannot be made.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let (short, _directory) = reachable(path)?;
    UnixListener::bind(short)
}

/// Connects to a socket.
///
/// # Errors
/// Nobody listens there.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let (short, _directory) = reachable(path)?;
    UnixStream::connect(short).await
}

/// The process that listens at a socket, if there is one.
pub async fn listener(path: &Path) -> Option<u32> {
    let peer = connect(path).await.ok()?.peer_cred().ok()?;
    u32::try_from(peer.pid()?).ok()
}

#[cfg(test)]
#[path = "socket_test.rs"]
mod tests;
