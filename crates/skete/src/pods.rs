//! All Pods of a root: making, finding, listing and removing their records.

use std::io;
use std::path::PathBuf;

use crate::files;
use crate::lock::Lock;
use crate::paths::Paths;
use crate::record::{PodId, PodRecord, RecordError};

/// Begins the name of a record that is being made.
pub const NEW_PREFIX: &str = ".new-";
/// Begins the name of a record that is being removed.
pub const TRASH_PREFIX: &str = ".trash-";

/// What can go wrong with the set of records.
#[derive(Debug, thiserror::Error)]
pub enum PodsError {
    /// No Pod has that name or id.
    #[error("no Pod is named {0:?} and no Pod's id begins with it: see `skete ps -a`")]
    NotFound(String),
    /// Several ids begin like that.
    #[error("the ids of {count} Pods begin with {prefix:?}: give more of it")]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// How many.
        count: usize,
    },
    /// The name is taken.
    #[error(
        "the name {name:?} is in use by Pod {by}: remove it with `skete rm {name}`, or choose \
         another name"
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Short id of the Pod that has it.
        by: String,
    },
    /// The Pod has not ended.
    #[error("Pod {0} is running: stop it first, or use `skete rm -f`")]
    Running(String),
    /// A record is at fault.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A directory or lock is at fault.
    #[error("cannot use {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> PodsError {
    let path = path.into();
    move |source| PodsError::Io { path, source }
}

/// Puts a new Pod on record. The lock that comes back is the one its follower holds for life.
///
/// # Errors
/// Its name is in use, or the record cannot be written; nothing is left then.
pub fn create(paths: &Paths, record: &PodRecord, input: &[u8]) -> Result<Lock, PodsError> {
    let pods = paths.pods();
    files::make_private_dir(&pods).map_err(at(&pods))?;
    let active = paths.active();
    files::make_private_dir(&active).map_err(at(&active))?;
    let records_lock = paths.records_lock();
    let _records = Lock::take(&records_lock).map_err(at(&records_lock))?;

    if let Some(other) = list(paths)?.into_iter().find(|p| p.name == record.name) {
        return Err(PodsError::NameInUse {
            name: record.name.clone(),
            by: other.id.short().to_owned(),
        });
    }
    let new = pods.join(format!("{NEW_PREFIX}{}", record.id));
    let made = (|| {
        files::make_private_dir(&new.join("logs")).map_err(at(&new))?;
        let lock_path = new.join("lock");
        let lock = Lock::take(&lock_path).map_err(at(&lock_path))?;
        let input_path = new.join("input.json");
        files::write_atomically(&input_path, input, 0o600).map_err(at(&input_path))?;
        record.save_first(&new)?;
        // The mark comes first: a record without one would be taken for an ended Pod's.
        let mark = paths.active_mark(&record.id);
        std::fs::write(&mark, b"").map_err(at(&mark))?;
        let pod = paths.pod(&record.id);
        std::fs::rename(&new, &pod).map_err(at(&pod))?;
        Ok(lock)
    })();
    if made.is_err() {
        // The first error is the one to tell.
        let _ = files::remove_tree(&new);
        let _ = files::remove_file(&paths.active_mark(&record.id));
    }
    made
}

/// Every Pod's id.
///
/// # Errors
/// The directory cannot be read.
pub fn ids(paths: &Paths) -> Result<Vec<PodId>, PodsError> {
    ids_in(paths.pods())
}

/// Ids of the Pods that have not ended.
///
/// # Errors
/// The directory cannot be read.
pub fn active_ids(paths: &Paths) -> Result<Vec<PodId>, PodsError> {
    ids_in(paths.active())
}

/// The Pods that were named, or with `all` those that have not ended, by their ids.
///
/// # Errors
/// The directory cannot be read.
pub fn named_or_active(
    paths: &Paths,
    named: &[String],
    all: bool,
) -> Result<Vec<String>, PodsError> {
    if !all {
        return Ok(named.to_vec());
    }
    let ids = active_ids(paths)?;
    Ok(ids.iter().map(|id| id.as_str().to_owned()).collect())
}

fn ids_in(dir: PathBuf) -> Result<Vec<PodId>, PodsError> {
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(at(dir)(error)),
    };
    Ok(entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| PodId::try_from(name).ok())
        .collect())
}

/// Every Pod's record, the newest first. What cannot be read as a record is left out: it is no
/// reason not to see the others, and `skete doctor` tells of it.
///
/// # Errors
/// The directory cannot be read.
pub fn list(paths: &Paths) -> Result<Vec<PodRecord>, PodsError> {
    let mut records: Vec<_> = ids(paths)?
        .iter()
        .filter_map(|id| PodRecord::load(paths, id).ok())
        .collect();
    records.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    Ok(records)
}

/// The Pod of that name, of that id, or the one whose id begins like that.
///
/// # Errors
/// There is none, or there are several.
pub fn find(paths: &Paths, reference: &str) -> Result<PodRecord, PodsError> {
    if let Ok(id) = PodId::try_from(reference.to_owned())
        && paths.pod(&id).is_dir()
    {
        return Ok(PodRecord::load(paths, &id)?);
    }
    // Kubernetes' habit: `pod/NAME`.
    let name = reference
        .strip_prefix("pod/")
        .or_else(|| reference.strip_prefix("pods/"))
        .unwrap_or(reference);
    let records = list(paths)?;
    if let Some(index) = records.iter().position(|p| p.name == name) {
        let mut records = records;
        return Ok(records.swap_remove(index));
    }
    let hexadecimal = !name.is_empty() && name.bytes().all(|b| b.is_ascii_hexdigit());
    let mut matching: Vec<_> = records
        .into_iter()
        .filter(|p| hexadecimal && p.id.as_str().starts_with(name))
        .collect();
    match (matching.pop(), matching.len()) {
        (Some(record), 0) => Ok(record),
        (None, _) => Err(PodsError::NotFound(reference.to_owned())),
        (Some(_), others) => Err(PodsError::Ambiguous {
            prefix: reference.to_owned(),
            count: others + 1,
        }),
    }
}

/// Removes the record, logs and volumes of a Pod whose end was told. Its follower may still be at
/// its last work, and is waited for; one that was to remove the record itself may have done so.
///
/// # Errors
/// Something cannot be removed.
pub fn remove(paths: &Paths, id: &PodId) -> Result<(), PodsError> {
    let lock_path = paths.pod_lock(id);
    let _held = match Lock::take(&lock_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        held => held.map_err(at(&lock_path))?,
    };
    remove_held(paths, id)
}

/// As [`remove`], for one who holds the Pod's lock.
///
/// # Errors
/// Something cannot be removed.
pub fn remove_held(paths: &Paths, id: &PodId) -> Result<(), PodsError> {
    let records_lock = paths.records_lock();
    let _records = Lock::take(&records_lock).map_err(at(&records_lock))?;
    let pod = paths.pod(id);
    let trash = paths.pods().join(format!("{TRASH_PREFIX}{id}"));
    match std::fs::rename(&pod, &trash) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(at(pod)(error)),
    }
    files::remove_tree(&trash).map_err(at(&trash))?;
    let mark = paths.active_mark(id);
    files::remove_file(&mark).map_err(at(mark))
}

#[cfg(test)]
#[path = "pods_test.rs"]
mod tests;
