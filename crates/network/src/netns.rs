//! Network namespaces with a name, made and kept as `ip netns` does it (iproute2,
//! ip-netns(8)): a file in `/run/netns` on which the namespace is mounted.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::thread::LinkNameSpaceType;

use crate::netlink::Netlink;
use crate::{netlink, sys};

/// Where named network namespaces are, by the convention of `ip netns`.
pub const DIRECTORY: &str = "/run/netns";

/// What can go wrong with a network namespace.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A name that cannot be a file's.
    #[error("{0:?} cannot be the name of a network namespace")]
    Name(String),
    /// There is one of that name.
    #[error("the network namespace {} is there already", .0.display())]
    Exists(PathBuf),
    /// A system call failed.
    #[error("cannot {action} {}", .path.display())]
    System {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The loopback interface of a new namespace does not come up.
    #[error("cannot bring up the loopback interface of the network namespace {}", .path.display())]
    Loopback {
        /// Of which namespace.
        path: PathBuf,
        /// Why not.
        #[source]
        source: netlink::Error,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::System {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Where the namespace `name` is mounted, whether it exists or not.
///
/// # Errors
/// [`Error::Name`] if `name` is empty, longer than 255 bytes, hidden or holds a `/`.
pub fn path(name: &str) -> Result<PathBuf, Error> {
    let wrong = name.is_empty()
        || name.len() > 255
        || name.starts_with('.')
        || name.contains(['/', '\0', '\n']);
    if wrong {
        return Err(Error::Name(name.to_owned()));
    }
    Ok(Path::new(DIRECTORY).join(name))
}

/// Whether a namespace is mounted at `path`: a crash can leave a file with none on it.
pub(crate) fn is_at(path: &Path) -> bool {
    /// `NSFS_MAGIC`, linux/magic.h.
    const MAGIC: u64 = 0x6e73_6673;
    rustix::fs::statfs(path).is_ok_and(|at| at.f_type as u64 == MAGIC)
}

/// Makes a network namespace called `name` with its loopback interface up, and returns its path.
/// The calling thread stays in its own.
///
/// # Errors
/// [`Error::Exists`] if there is one of that name; others as system calls fail.
pub fn create(name: &str) -> Result<PathBuf, Error> {
    let path = path(name)?;
    let _lock = prepare_directory()?;
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(&path)
    {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(Error::Exists(path));
        }
        Err(error) => return Err(failed("make", &path)(error)),
    }
    let made = in_thread(|| {
        sys::unshare_network().map_err(failed("make the network namespace", &path))?;
        loopback_up().map_err(|source| Error::Loopback {
            path: path.clone(),
            source,
        })?;
        rustix::mount::mount_bind("/proc/thread-self/ns/net", &path)
            .map_err(|errno| failed("mount the network namespace on", &path)(errno.into()))
    })
    .unwrap_or_else(|error| Err(failed("start a thread for", &path)(error)));
    if let Err(error) = made {
        // The error that matters is the first one.
        let _ = fs::remove_file(&path);
        return Err(error);
    }
    Ok(path)
}

/// Takes away the network namespace called `name`, if there is one. What is in it goes when the
/// last process in it and the last descriptor of it have gone.
///
/// # Errors
/// As system calls fail; not if it is gone already.
pub fn delete(name: &str) -> Result<(), Error> {
    let path = path(name)?;
    loop {
        match rustix::mount::unmount(&path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            // There may be several, one upon the other.
            Ok(()) => continue,
            Err(Errno::INVAL | Errno::NOENT) => break,
            Err(errno) => return Err(failed("unmount", &path)(errno.into())),
        }
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// The names of the network namespaces that begin with `prefix`, sorted.
///
/// # Errors
/// As the directory cannot be read; not if it is not there.
pub fn list(prefix: &str) -> Result<Vec<String>, Error> {
    let directory = Path::new(DIRECTORY);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("read", directory)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("read", directory))?;
        if let Ok(name) = entry.file_name().into_string()
            && name.starts_with(prefix)
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Runs `work` on a thread of its own in the network namespace at `netns`, and waits for it:
/// no thread that other code runs on ever changes its namespace.
///
/// # Errors
/// If the namespace cannot be entered.
pub fn inside<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    let file = File::open(netns).map_err(failed("open the network namespace", netns))?;
    inside_of(file.as_fd(), work).map_err(failed("enter the network namespace", netns))
}

pub(crate) fn inside_of<T: Send>(
    netns: BorrowedFd<'_>,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    in_thread(|| {
        rustix::thread::move_into_link_name_space(netns, Some(LinkNameSpaceType::Network))?;
        Ok(work())
    })?
}

/// Runs `work` on a thread of its own in a new network namespace, which goes with it.
pub(crate) fn inside_new<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    in_thread(|| {
        sys::unshare_network()?;
        Ok(work())
    })?
}

fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".into())
            .spawn_scoped(scope, work)?;
        thread
            .join()
            .map_err(|_| io::Error::other("the thread panicked"))
    })
}

pub(crate) fn loopback_up() -> Result<(), netlink::Error> {
    let mut message = LinkMessage::default();
    // In every network namespace the loopback interface is the first.
    message.header.index = 1;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    Netlink::open()?.change(RouteNetlinkMessage::SetLink(message), 0)
}

/// The directory of namespaces as a mount that is shared with other mount namespaces, so that
/// what is mounted and unmounted in it is so everywhere; locked as `ip netns` locks it, against
/// two that prepare it at once.
fn prepare_directory() -> Result<File, Error> {
    let path = Path::new(DIRECTORY);
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(failed("make the directory", path))?;
    let directory = File::open(path).map_err(failed("open", path))?;
    rustix::fs::flock(&directory, FlockOperation::LockExclusive)
        .map_err(|errno| failed("lock", path)(errno.into()))?;
    let share = || {
        let flags = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
        rustix::mount::mount_change(path, flags)
    };
    match share() {
        Err(Errno::INVAL) => {
            // Not a mount yet.
            rustix::mount::mount_bind_recursive(path, path)
                .and_then(|()| share())
                .map_err(|errno| failed("mount", path)(errno.into()))?;
        }
        other => other.map_err(|errno| failed("share the mount", path)(errno.into()))?,
    }
    Ok(directory)
}
