//! Where things are: the two roots, and the programs beside this one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use skete_usage::Directory;

use crate::record::PodId;

/// Persistent root unless told otherwise.
pub const DEFAULT_ROOT: &str = "/var/lib/skete";
/// Runtime root unless told otherwise.
pub const DEFAULT_RUN_ROOT: &str = "/run/skete";
/// Environment variable that names the persistent root.
pub const ROOT_ENV: &str = "SKETE_ROOT";
/// Environment variable that names the runtime root.
pub const RUN_ROOT_ENV: &str = "SKETE_RUN_ROOT";
pub use skete_cri_api::OWN_NAMESPACE as NAMESPACE;

/// The program that is the engine.
pub const SHIM: &str = "containerd-shim-skete-v2";

/// The two directories under which everything of this command lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// Survives a reboot: images, records, logs.
    pub root: PathBuf,
    /// Gone after a reboot: bundles, FIFOs, sockets.
    pub run_root: PathBuf,
}

impl Paths {
    /// Paths under the two roots.
    pub fn new(root: impl Into<PathBuf>, run_root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            run_root: run_root.into(),
        }
    }

    /// The price list of this machine, where it has one.
    pub fn prices(&self) -> PathBuf {
        self.root.join("prices.toml")
    }

    /// The directory of all Pods' records.
    pub fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// One Pod's record, logs and volumes.
    pub fn pod(&self, id: &PodId) -> PathBuf {
        self.pods().join(id.as_str())
    }

    /// One Pod's record.
    pub fn pod_record(&self, id: &PodId) -> PathBuf {
        self.pod(id).join("pod.json")
    }

    /// What the follower needs to know of the Pod and nobody else: it may hold Secrets.
    pub fn pod_input(&self, id: &PodId) -> PathBuf {
        self.pod(id).join("input.json")
    }

    /// Held (`flock`) by the Pod's follower for its life.
    pub fn pod_lock(&self, id: &PodId) -> PathBuf {
        self.pod(id).join("lock")
    }

    /// One empty file per Pod that has not ended, so that a sweep need not read every record.
    pub fn active(&self) -> PathBuf {
        self.root.join("active")
    }

    /// The mark of one Pod that has not ended.
    pub fn active_mark(&self, id: &PodId) -> PathBuf {
        self.active().join(id.as_str())
    }

    /// Held (`flock`) while records are made or removed.
    pub fn records_lock(&self) -> PathBuf {
        self.root.join("records.lock")
    }

    /// Logs of one container of a Pod, one file per start.
    pub fn container_logs(&self, id: &PodId, container: &str) -> PathBuf {
        self.pod(id).join("logs").join(container)
    }

    /// What the follower and the shim have to say about a Pod.
    pub fn follower_log(&self, id: &PodId) -> PathBuf {
        self.pod(id).join("follower.log")
    }

    /// The usage journals of all Pods of this machine, containerd's too.
    pub fn journals(&self) -> Directory {
        Directory::below(&self.root)
    }

    /// What was used, kept for ever.
    pub fn ledger(&self) -> PathBuf {
        self.journals().path().join("ledger.db")
    }

    /// Runtime directories of all Pods.
    pub fn run_pods(&self) -> PathBuf {
        self.run_root.join("pods")
    }

    /// Runtime directory of one Pod: bundles, FIFOs, the follower's socket.
    pub fn run_pod(&self, id: &PodId) -> PathBuf {
        self.run_pods().join(id.as_str())
    }

    /// The shim's bundle, its working directory.
    pub fn sandbox_bundle(&self, id: &PodId) -> PathBuf {
        self.run_pod(id).join("sandbox")
    }

    /// The bundle of one container's one start.
    pub fn container_bundle(&self, id: &PodId, task: &str) -> PathBuf {
        self.run_pod(id).join("containers").join(task)
    }

    /// FIFOs of `skete exec`.
    pub fn execs(&self, id: &PodId) -> PathBuf {
        self.run_pod(id).join("execs")
    }

    /// The follower's socket.
    pub fn attach_socket(&self, id: &PodId) -> PathBuf {
        self.run_pod(id).join("attach.sock")
    }

    /// Where the Pod's shim publishes what happens.
    pub fn events_socket(&self, id: &PodId) -> PathBuf {
        self.pod_sockets(id).join("events")
    }

    /// What is known of the Pod's shim: address, process.
    pub fn shim_file(&self, id: &PodId) -> PathBuf {
        self.run_pod(id).join("shim.json")
    }

    /// Where shims put their sockets, one directory per Pod.
    pub fn sockets(&self) -> PathBuf {
        self.run_root.join("s")
    }

    /// Where a Pod's shim puts its socket; short, since a socket's path may have 107 bytes, 64 of
    /// which are the socket's name.
    pub fn pod_sockets(&self, id: &PodId) -> PathBuf {
        self.sockets().join(id.short())
    }

    /// The record as it was first written: what is left if the machine loses power while the
    /// record is written again.
    pub fn first_record(&self, id: &PodId) -> PathBuf {
        self.pod(id).join("created.json")
    }

    /// The engine's own runtime directories of this command's Pods.
    pub fn sandboxes(&self) -> PathBuf {
        self.run_root.join("sandboxes").join(NAMESPACE)
    }
}

/// A program of this project: beside this one, else wherever `PATH` has it.
pub fn program(name: &str) -> PathBuf {
    if let Ok(own) = std::env::current_exe()
        && let Some(beside) = own.parent().map(|dir| dir.join(name))
        && beside.is_file()
    {
        return beside;
    }
    find_in_path(name).unwrap_or_else(|| PathBuf::from(name))
}

/// A file of the guest (`vmlinux`, `initramfs.cpio`): `../share/skete` from this program.
pub fn guest_file(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let prefix = own.parent()?.parent()?;
    Some(prefix.join("share").join("skete").join(name))
}

/// The first executable of that name in `PATH`.
pub fn find_in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/sbin:/usr/bin"));
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|candidate| is_executable(candidate))
}

/// Whether the path is a file that this process may execute.
pub fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}
