//! One `skete node` command at a time works on a prefix.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::error::FileError;

/// The file that is locked.
pub(crate) const NAME: &str = "lock";
/// How long another command may take to be gone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why the prefix is not this command's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is another's.
    #[error("another `skete node` command works on {0} now: wait for it")]
    Busy(PathBuf),
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Takes the lock, which is held as long as the file is open.
pub(crate) fn take(prefix: &Path) -> Result<File, Error> {
    let path = prefix.join(NAME);
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(FileError::about("open", &path))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(PATIENCE / 40);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Busy(prefix.to_owned())),
            Err(errno) => return Err(FileError::about("lock", &path)(errno.into()).into()),
        }
    }
}
