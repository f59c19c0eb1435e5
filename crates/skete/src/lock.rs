//! `flock`: who holds it lives. The kernel lets go when the last descriptor of the open file is
//! closed, whatever ended the process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// A held lock; dropping it lets go, unless the open file was handed on.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the lock, waiting for whoever holds it.
    ///
    /// # Errors
    /// The file cannot be opened or locked.
    pub fn take(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Self(file)),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Takes the lock if nobody holds it.
    ///
    /// # Errors
    /// The file cannot be opened or locked.
    pub fn try_take(path: &Path) -> io::Result<Option<Self>> {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes over an open file whose lock this process was handed.
    pub fn adopt(file: File) -> Self {
        Self(file)
    }

    /// The open file, to hand it to a child.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn share(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

/// Whether somebody holds the lock. A file that is not there is held by nobody.
///
/// # Errors
/// The file cannot be opened or locked.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // A shared lock, so that two who only ask do not take each other for a holder.
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;
    use std::process::{Child, Command};
    use std::sync::{PoisonError, RwLock, RwLockReadGuard};

    /// A child has copies of all open files of all tests, and with them their locks, from its fork
    /// to its exec: while it is written to, locks that were let go may still be held.
    static FORKS: RwLock<()> = RwLock::new(());

    /// Starts a child so that no test that [`no_forks`] keeps sees its locks held by it.
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
        let _guard = FORKS.write().unwrap_or_else(PoisonError::into_inner);
        command.spawn()
    }

    /// While this is held, no test forks, and a lock that is let go is free.
    pub(crate) fn no_forks() -> RwLockReadGuard<'static, ()> {
        FORKS.read().unwrap_or_else(PoisonError::into_inner)
    }
}
