//! What is known on disk of the Pods' networks: a record and a lock for each, and host-local's
//! leases.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::conflist::{ConfList, NETWORK, PortMapping};

/// How long to wait for another process that works on the same Pod's network.
const LOCK_LIMIT: Duration = Duration::from_secs(60);

/// What can go wrong with the records.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot use {}", .path.display())]
    Use {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Another process works on it, for too long.
    #[error("others have kept the network of Pod {0} locked for a minute")]
    Busy(String),
    /// A Pod's id that cannot be a file's name.
    #[error("{0:?} cannot be a Pod's id: letters, digits, '-', '_' and '.' are allowed")]
    Id(String),
}

/// What is to be made for one Pod, and what the plugins have made so far.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) ports: Vec<PortMapping>,
    /// None: loopback only.
    pub(crate) configuration: Option<ConfList>,
    /// The latest plugin's.
    pub(crate) result: Option<Value>,
}

/// The directory of the records.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    state: PathBuf,
}

impl Records {
    pub(crate) fn new(state: PathBuf) -> Self {
        Self { state }
    }

    /// The Pods of which anything is known, sorted.
    pub(crate) fn list(&self) -> Result<Vec<String>, Error> {
        let mut ids: BTreeSet<_> = self.lease_files()?.into_iter().map(|(_, id)| id).collect();
        for name in names(&self.state.join("pods"))? {
            if let Some(id) = name.strip_suffix(".json").or(name.strip_suffix(".lock")) {
                ids.insert(id.to_owned());
            }
        }
        ids.retain(|id| check_id(id).is_ok());
        Ok(ids.into_iter().collect())
    }

    pub(crate) fn exists(&self, id: &str) -> bool {
        self.path(id).exists()
    }

    /// Removes the record only: what it speaks of has not been made.
    pub(crate) fn forget(&self, id: &str) -> Result<(), Error> {
        remove_file(&self.path(id))
    }

    /// Removes all that is known of the Pod, whose lock the caller holds.
    pub(crate) fn remove(&self, id: &str) -> Result<(), Error> {
        remove_file(&self.path(id))?;
        // Last, so that who waits for it sees all of it gone.
        remove_file(&self.lock_path(id))
    }

    /// Where host-local keeps which address is whose.
    pub(crate) fn leases(&self) -> PathBuf {
        self.state.join("leases")
    }

    /// Host-local's files of one lease each, called by the address, with the holder's id in the
    /// first line.
    fn lease_files(&self) -> Result<Vec<(PathBuf, String)>, Error> {
        let directory = self.leases().join(NETWORK);
        let mut leases = Vec::new();
        for name in names(&directory)? {
            if name.parse::<IpAddr>().is_ok() {
                let path = directory.join(name);
                match fs::read_to_string(&path) {
                    Ok(text) => {
                        let id = text.lines().next().unwrap_or_default().trim().to_owned();
                        leases.push((path, id));
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(source) => return Err(Error::Use { path, source }),
                }
            }
        }
        Ok(leases)
    }

    pub(crate) fn free_leases(&self, id: &str) -> Result<(), Error> {
        for (path, holder) in self.lease_files()? {
            if holder == id {
                remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn path(&self, id: &str) -> PathBuf {
        self.state.join("pods").join(format!("{id}.json"))
    }

    fn lock_path(&self, id: &str) -> PathBuf {
        self.state.join("pods").join(format!("{id}.lock"))
    }

    pub(crate) fn load(&self, id: &str) -> Result<Option<Record>, Error> {
        let path = self.path(id);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Use { path, source }),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(record) => Ok(Some(record)),
                Err(error) => Err(Error::Use {
                    path,
                    source: error.into(),
                }),
            },
        }
    }

    /// Whole or not at all.
    pub(crate) fn store(&self, id: &str, record: &Record) -> Result<(), Error> {
        let path = self.path(id);
        let failed = |source| Error::Use {
            path: path.clone(),
            source,
        };
        let bytes = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        let new = path.with_extension("new");
        fs::write(&new, bytes)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(failed)
    }

    /// Locks `what` all Pods share, for the Pod `id`.
    pub(crate) fn lock_all(&self, what: &str, id: &str) -> Result<File, Error> {
        lock_file(&self.state.join(format!("{what}.lock")))?.ok_or(Error::Busy(id.into()))
    }

    /// Locks what belongs to `id`.
    pub(crate) fn lock(&self, id: &str) -> Result<File, Error> {
        check_id(id)?;
        lock_file(&self.lock_path(id))?.ok_or(Error::Busy(id.into()))
    }
}

/// Locks the file at `path`, which is made if need be; none if another holds it for too long.
fn lock_file(path: &Path) -> Result<Option<File>, Error> {
    let failed = |source| Error::Use {
        path: path.to_owned(),
        source,
    };
    if let Some(directory) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed)?;
    }
    let end = Instant::now() + LOCK_LIMIT;
    loop {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let file = options.open(path).map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Who held it may have removed it, and another made a new one.
                let locked = file.metadata().map_err(failed)?.ino();
                if fs::metadata(path).is_ok_and(|now| now.ino() == locked) {
                    return Ok(Some(file));
                }
            }
            Err(Errno::WOULDBLOCK) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(failed(errno.into())),
        }
    }
}

fn check_id(id: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    // CNI: a container's id begins with a letter or digit.
    let begins = id.starts_with(|c: char| c.is_ascii_alphanumeric());
    match begins && id.len() <= 200 && id.chars().all(allowed) {
        true => Ok(()),
        false => Err(Error::Id(id.into())),
    }
}

fn names(directory: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Use {
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Use {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "records_test.rs"]
mod tests;
