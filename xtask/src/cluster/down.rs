//! Ends a cluster and removes all of it, whatever state it is in.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::process::Process;
use super::up::{GRACE, MARK};
use super::{Cluster, must_be_root, node};
use crate::command::Failure;

/// Where the kubelet links the logs of containers to, whatever its own directories are.
const CONTAINER_LOGS: &str = "/var/log/containers";
/// Where the kubelet waits for device plugins.
const DEVICE_PLUGINS: &str = "/var/lib/kubelet/device-plugins";
/// Where CNI's library notes what plugins have done.
const CNI_RESULTS: &str = "/var/lib/cni/results";

/// Ends and removes everything.
pub(crate) fn down(cluster: &Cluster) -> Result<(), Failure> {
    must_be_root()?;
    let _lock = cluster.lock()?;
    let (dir, run_dir) = (cluster.dir(), cluster.run_dir());
    let marked = dir.join(MARK).exists();
    if dir.exists() && !marked {
        return Err(Failure::new(format!(
            "{} is no cluster's: nothing was removed",
            dir.display()
        )));
    }
    // The kubelet first, that it starts nothing anew.
    end(cluster, "kubelet")?;
    end_shims(cluster);
    node::remove_cgroup(cluster)?;
    node::unmount_below(dir)?;
    node::unmount_below(&run_dir)?;
    node::detach_loops(dir)?;
    node::remove_namespace(cluster)?;
    remove_strays(dir, &run_dir);
    for dir in [dir, &run_dir] {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Failure::io(format!("remove {}", dir.display()), &error));
            }
            _ => {}
        }
    }
    // Only where it is the default one's parent, and empty.
    if let Some(parent) = dir
        .parent()
        .filter(|parent| *parent == Path::new(super::STATE))
    {
        let _ = fs::remove_dir(parent);
    }
    node::restore_settings()
}

fn end(cluster: &Cluster, part: &str) -> Result<(), Failure> {
    match Process::recorded(&cluster.pid_file(part)) {
        Some(process) => process.end(GRACE),
        None => Ok(()),
    }
}

/// Kills shims that have left the cluster's cgroup: each names the socket of its containerd.
fn end_shims(cluster: &Cluster) {
    let socket = cluster.run_dir().join("containerd.sock");
    let socket = socket.to_string_lossy();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        let Some(process) = Process::of(pid) else {
            continue;
        };
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split('\0');
        let shim = words
            .next()
            .and_then(|program| program.rsplit('/').next())
            .is_some_and(|name| name.starts_with("containerd-shim-"));
        if shim && words.any(|word| word == socket) {
            process.kill();
        }
    }
}

/// Removes what the kubelet and containerd put where no setting of theirs leads elsewhere, and the
/// directories that are empty then.
fn remove_strays(dir: &Path, run_dir: &Path) {
    remove_entries(CONTAINER_LOGS, |path| {
        fs::read_link(path).is_ok_and(|target| target.starts_with(dir))
    });
    let netns = format!("\"netns\":\"{}/", run_dir.display());
    remove_entries(CNI_RESULTS, |path| {
        fs::read_to_string(path).is_ok_and(|text| text.contains(&netns))
    });
    // Another kubelet of this machine takes this socket over, and answers it then.
    remove_entries(DEVICE_PLUGINS, |path| {
        UnixStream::connect(path).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
}

fn remove_entries(dir: &str, ours: impl Fn(&Path) -> bool) {
    let dir = Path::new(dir);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if ours(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    if fs::remove_dir(dir).is_ok()
        && let Some(parent) = dir.parent()
    {
        let _ = fs::remove_dir(parent);
    }
}
