//! Cleans up after killed processes. Every command begins with it: where nothing is wrong it
//! reads four directories and asks one lock per running Pod.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::cleanup;
use crate::failure::{Failure, chain};
use crate::files;
use crate::images;
use crate::lock::{self, Lock};
use crate::net;
use crate::paths::Paths;
use crate::pods::{NEW_PREFIX, TRASH_PREFIX};
use crate::record::{End, PodId, PodRecord, SHORT_ID, boot_id};

/// What there is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Pods that have not ended and have no follower.
    pub dead: Vec<PodId>,
    /// What is there of Pods that have no record, or an ended one.
    pub orphans: BTreeSet<PodId>,
    /// Directories of sockets of such Pods.
    pub sockets: Vec<PathBuf>,
    /// Records half made or half removed.
    pub halves: Vec<PathBuf>,
}

impl Work {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Looks for what killed processes have left.
///
/// # Errors
/// A directory cannot be read.
pub fn look(paths: &Paths) -> io::Result<Work> {
    let mut work = Work::default();
    // A Pod's mark is there before anything else of it, and goes last: what is seen first and has
    // no mark then is nobody's.
    for directory in [paths.run_pods(), paths.sandboxes()] {
        work.orphans.extend(ids_in(&directory)?);
    }
    work.orphans.extend(net::all(paths));
    work.orphans.extend(images::holders(paths));
    let sockets = names_in(&paths.sockets())?;
    let active = ids_in(&paths.active())?;
    for id in &active {
        work.orphans.remove(id);
        if !lock::is_held(&paths.pod_lock(id))? {
            work.dead.push(id.clone());
        }
    }
    for name in sockets {
        // What has another name is another's: containerd may put its own shims' sockets here.
        if name.len() == SHORT_ID && !active.iter().any(|id| id.short() == name) {
            work.sockets.push(paths.sockets().join(name));
        }
    }
    for name in names_in(&paths.pods())? {
        if name.starts_with(NEW_PREFIX) || name.starts_with(TRASH_PREFIX) {
            work.halves.push(paths.pods().join(name));
        }
    }
    Ok(work)
}

/// Looks, and cleans up if there is something to clean up. What cannot be cleaned up is told of
/// on standard error and tried again by the next command.
///
/// # Errors
/// A directory cannot be read.
pub fn sweep(paths: &Paths) -> Result<(), Failure> {
    let work = look(paths).map_err(|error| {
        Failure::own(match error.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("cannot read {}: run skete as root", paths.root.display())
            }
            _ => format!("cannot look for what killed processes left: {error}"),
        })
    })?;
    if work.is_empty() {
        return Ok(());
    }
    let runtime = crate::runtime()?;
    for problem in runtime.block_on(carry_out(paths, work)) {
        crate::complain(&problem);
    }
    Ok(())
}

/// Cleans up; comes back with what could not be.
pub async fn carry_out(paths: &Paths, work: Work) -> Vec<String> {
    let mut problems = Vec::new();
    for id in work.dead {
        if let Err(problem) = end_dead(paths, &id).await {
            problems.push(format!("Pod {}: {problem}", id.short()));
        }
    }
    for id in work.orphans {
        if let Err(problem) = clean_orphan(paths, &id).await {
            problems.push(format!("Pod {}: {problem}", id.short()));
        }
    }
    for directory in work.sockets {
        if let Err(error) = files::remove_tree(&directory) {
            problems.push(format!("{}: {error}", directory.display()));
        }
    }
    if !work.halves.is_empty()
        && let Err(problem) = remove_halves(paths, &work.halves)
    {
        problems.push(problem);
    }
    problems
}

/// Puts down the end of a Pod whose follower is gone, and cleans up after it.
async fn end_dead(paths: &Paths, id: &PodId) -> Result<(), String> {
    let told = |what: &str, error: io::Error| format!("{what}: {error}");
    if !paths.pod(id).is_dir() {
        // Being made just now, or made by a process that was killed before the record was there.
        let records_lock = paths.records_lock();
        let _records = Lock::take(&records_lock).map_err(|e| told("records.lock", e))?;
        if !paths.pod(id).is_dir() {
            let cleaned = cleanup::clean(paths, id, false).await;
            cleaned.map_err(|left| left.to_string())?;
            return files::remove_file(&paths.active_mark(id)).map_err(|e| told("mark", e));
        }
    }
    let lock_path = paths.pod_lock(id);
    let held = Lock::try_take(&lock_path).map_err(|e| told("lock", e))?;
    let Some(_held) = held else {
        // Another command is at it, or the follower was only just starting.
        return Ok(());
    };
    if !paths.active_mark(id).exists() {
        return Ok(());
    }
    let cleaned = cleanup::clean(paths, id, false).await;
    match PodRecord::load(paths, id) {
        Ok(mut record) => {
            if record.end.is_none() {
                record.put_down_end(end_of_dead(&record));
                record.save(paths).map_err(|error| chain(&error))?;
            }
        }
        // Nothing can be put down in a record that is no record; that must not keep what is left
        // of the Pod.
        Err(error) => crate::complain(&chain(&error)),
    }
    cleaned.map_err(|left| left.to_string())?;
    files::remove_file(&paths.active_mark(id)).map_err(|e| told("mark", e))
}

fn end_of_dead(record: &PodRecord) -> End {
    let rebooted = record.boot_id != boot_id();
    End {
        time: Timestamp::now(),
        reason: if rebooted {
            "NodeRestarted"
        } else {
            "FollowerKilled"
        }
        .to_owned(),
        message: if rebooted {
            "the machine was started anew while the Pod ran"
        } else {
            "the process that followed the Pod was killed"
        }
        .to_owned(),
        exit_code: 137,
    }
}

async fn clean_orphan(paths: &Paths, id: &PodId) -> Result<(), String> {
    let records_lock = paths.records_lock();
    if !paths.root.is_dir() {
        files::make_private_dir(&paths.root).map_err(|error| error.to_string())?;
    }
    let _records = Lock::take(&records_lock).map_err(|error| error.to_string())?;
    // Looked at again under the lock: the Pod may have been made meanwhile. And the follower of a
    // Pod that has just ended may be at its last step.
    if paths.active_mark(id).exists()
        || lock::is_held(&paths.pod_lock(id)).map_err(|error| error.to_string())?
    {
        return Ok(());
    }
    let cleaned = cleanup::clean(paths, id, false).await;
    cleaned.map_err(|left| left.to_string())
}

fn remove_halves(paths: &Paths, halves: &[PathBuf]) -> Result<(), String> {
    // Whoever makes or removes a record holds this lock.
    let _records = Lock::take(&paths.records_lock()).map_err(|error| error.to_string())?;
    for half in halves {
        files::remove_tree(half).map_err(|error| format!("{}: {error}", half.display()))?;
    }
    Ok(())
}

fn ids_in(directory: &Path) -> io::Result<BTreeSet<PodId>> {
    let names = names_in(directory)?;
    Ok(names
        .into_iter()
        .filter_map(|name| PodId::try_from(name).ok())
        .collect())
}

fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    match std::fs::read_dir(directory) {
        Ok(entries) => Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "sweep_test.rs"]
mod tests;
