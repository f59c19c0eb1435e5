//! Files in the making. Each is locked while its maker lives, so that what a killed process
//! leaves can be told from what another is writing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::stop::Stop;

/// A file in the store's `tmp`, locked and ours until it is persisted or dropped; dropped, it is
/// gone.
#[derive(Debug)]
pub(crate) struct TempFile {
    file: File,
    path: PathBuf,
    kept: bool,
}

impl TempFile {
    /// Takes the name in the folder if it is free or its maker has died, and empties it.
    /// `None` if another holds it.
    pub(crate) fn try_claim(folder: &Path, name: &str) -> io::Result<Option<Self>> {
        let path = folder.join(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // Its last holder may have renamed or removed it between our open and our lock; then we
        // hold a file that nobody sees.
        if !is_at(&file, &path)? {
            return Ok(None);
        }
        file.set_len(0)?;
        Ok(Some(Self {
            file,
            path,
            kept: false,
        }))
    }

    /// Makes a file of a name that no one else has.
    pub(crate) fn create(folder: &Path, kind: &str) -> io::Result<Self> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let n = COUNT.fetch_add(1, Ordering::Relaxed);
            // A clean-up may take the file between its making and our lock; then the next one.
            if let Some(file) =
                Self::try_claim(folder, &format!("{kind}-{}-{n}", std::process::id()))?
            {
                return Ok(file);
            }
        }
    }

    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the file, complete and on the disk, where it belongs. From then on it is there also
    /// after a crash, and it was never there by half.
    pub(crate) fn persist(mut self, to: &Path) -> io::Result<()> {
        self.file
            .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o444))?;
        self.file.sync_all()?;
        let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            if let Some(above) = folder.parent() {
                sync_folder(above)?;
            }
        }
        fs::rename(&self.path, to)?;
        self.kept = true;
        sync_folder(folder)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.kept {
            // We hold the lock, so the name is ours. What cannot be removed now, the next opening
            // of the store removes.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes a rename or a removal in the folder last.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes from the folder what its makers left behind when they were killed.
pub(crate) fn remove_stale(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let file = match OpenOptions::new().read(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let free = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if free && is_at(&file, &path)? {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// The store's lock, held while names, records and leases change.
#[derive(Debug)]
pub(crate) struct Lock {
    // Closing the file frees the lock.
    _file: File,
}

impl Lock {
    /// Waits for the lock.
    pub(crate) fn take(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        loop {
            match flock(&file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Waits a moment for a file that another is making; true if stopped.
pub(crate) fn wait_a_moment(stop: &Stop) -> bool {
    stop.sleep(Duration::from_millis(40))
}

#[cfg(test)]
#[path = "temp_test.rs"]
mod tests;
