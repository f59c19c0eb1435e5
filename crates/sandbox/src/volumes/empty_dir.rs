//! emptyDirs. One on disk is on a disk of its own where the Pod is a kubelet's: a file in the
//! directory that the kubelet made for it. So the kubelet measures what is in it, holds the Pod to
//! its `sizeLimit`, and removes it in the end.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use skete_agent_api::agent;

use super::disk::FS_TYPE;
use crate::scratch::{self, ScratchError};

/// That file.
const DISK: &str = "skete.img";
/// How many have disks of their own: each takes one of the VM's two dozen slots.
const MAX_DISKS: usize = 8;
/// `TMPFS_MAGIC` of `statfs(2)`.
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// How emptyDirs get disks of their own.
#[derive(Debug)]
pub(crate) struct EmptyDisks {
    templates: PathBuf,
    bytes: u64,
    left: usize,
}

impl EmptyDisks {
    /// Disks of `bytes` each, copied from `templates`.
    pub(crate) fn new(templates: PathBuf, bytes: u64) -> Self {
        let left = MAX_DISKS;
        Self {
            templates,
            bytes,
            left,
        }
    }

    /// Makes one in the kubelet's directory, if there may be one more.
    pub(super) fn make(&mut self, root: &Path) -> Result<Option<PathBuf>, ScratchError> {
        if self.left == 0 {
            return Ok(None);
        }
        let file = root.join(DISK);
        scratch::create(&self.templates, &file, self.bytes)?;
        self.left -= 1;
        Ok(Some(file))
    }
}

/// The guest's disk of that serial. What is on it is worthless once the guest has ended, so that
/// no order of writes has to be kept; what is removed is given back to the host.
pub(super) fn block(serial: &str) -> agent::Block {
    agent::Block {
        serial: serial.to_owned(),
        fs_type: FS_TYPE.to_owned(),
        options: ["nobarrier", "discard"].map(str::to_owned).into(),
        ..Default::default()
    }
}

/// The directory on the host is empty; what counts is its mode and group, by which the kubelet
/// answers `fsGroup`, and whether the kubelet mounted memory there. `skete` says it by annotation.
pub(super) fn request(name: &str, root: &Path, kind: Option<&str>) -> agent::PutVolumeRequest {
    let kind: Value = kind
        .and_then(|kind| serde_json::from_str(kind).ok())
        .unwrap_or_default();
    let meta = root.metadata().ok();
    let memory = memory_bytes(root);
    let mut request = agent::PutVolumeRequest {
        name: name.to_owned(),
        size_limit: kind["sizeLimit"].as_u64().or(memory).unwrap_or(0),
        mode: meta.as_ref().map_or(0, |meta| meta.mode() & 0o7777),
        gid: meta.as_ref().map_or(0, MetadataExt::gid),
        ..Default::default()
    };
    if kind["memory"] == true || memory.is_some() {
        request.set_tmpfs(agent::Tmpfs::new());
    } else {
        request.set_scratch(agent::Empty::new());
    }
    request
}

/// The size of the tmpfs that is mounted at a directory, if one is: the kubelet has worked it out
/// from `sizeLimit` and the Pod's limits.
fn memory_bytes(directory: &Path) -> Option<u64> {
    let stat = rustix::fs::statfs(directory).ok()?;
    let above = directory.parent()?.metadata().ok()?.dev();
    let mounted = directory.metadata().ok()?.dev() != above;
    (mounted && stat.f_type == TMPFS_MAGIC)
        .then(|| stat.f_blocks.saturating_mul(stat.f_bsize.unsigned_abs()))
}

#[cfg(test)]
#[path = "empty_dir_test.rs"]
mod tests;
