//! Removes what is left of a container.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use serde::{Deserialize, Serialize};

use crate::boot::{CGROUP_PARENT, RUN};
use crate::failure::{Failure, Kind};

/// Removes a container whose processes have ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Delete {
    /// The container's id, checked by PID 1.
    pub(crate) id: String,
}

/// Removes a tree, without following symbolic links.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Remove {
    /// Its path.
    pub(crate) path: PathBuf,
}

/// Why something could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot remove {path}")]
struct RemoveError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl From<RemoveError> for Failure {
    fn from(error: RemoveError) -> Self {
        Self::of(Kind::Internal, &error)
    }
}

impl Delete {
    pub(crate) fn run(self) -> Result<(), Failure> {
        clean(&self.id)
    }
}

impl Remove {
    pub(crate) fn run(self) -> Result<(), Failure> {
        Ok(remove(&self.path)?)
    }
}

/// Goes on after a failure and tells the first: the more is gone, the better.
pub(crate) fn clean(id: &str) -> Result<(), Failure> {
    let bundle = Path::new(RUN).join("containers").join(id);
    let cgroup = Path::new(CGROUP_PARENT).join(id);
    // A container that was half-made may have a process; there may be no cgroup.
    let _ = fs::write(cgroup.join("cgroup.kill"), "1");
    let mut result = remove_cgroup(&cgroup);
    let mut keep = |next: Result<(), RemoveError>| {
        if result.is_ok() {
            result = next;
        }
    };
    keep(detach(&bundle.join("rootfs")));
    if let Ok(layers) = fs::read_dir(bundle.join("layers")) {
        for layer in layers.flatten() {
            keep(detach(&layer.path()));
        }
    }
    if let Ok(mounts) = fs::read_dir(bundle.join("mounts")) {
        for mount in mounts.flatten() {
            keep(detach(&mount.path()));
        }
    }
    for tree in [
        bundle,
        Path::new(RUN).join("runtime").join(id),
        Path::new(RUN).join("scratch/containers").join(id),
    ] {
        keep(remove(&tree));
    }
    Ok(result?)
}

/// Unmounts all that is mounted there; nothing being mounted is fine.
fn detach(path: &Path) -> Result<(), RemoveError> {
    loop {
        match unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => {
                return Err(RemoveError {
                    path: path.to_owned(),
                    source: error.into(),
                });
            }
        }
    }
}

fn remove(path: &Path) -> Result<(), RemoveError> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(RemoveError {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Removes a cgroup and those below it; only directories can be removed there.
fn remove_cgroup(path: &Path) -> Result<(), RemoveError> {
    if let Ok(entries) = fs::read_dir(path) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_cgroup(&entry.path())?;
            }
        }
    }
    // Its last processes may still be on their way out.
    for _ in 0..100 {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            Err(source) => {
                return Err(RemoveError {
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
    Err(RemoveError {
        path: path.to_owned(),
        source: io::Error::from_raw_os_error(libc::EBUSY),
    })
}
