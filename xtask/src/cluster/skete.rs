//! Skete on the cluster's node, put there as on any node: by `skete node install`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Cluster, must_be_root, programs, up};
use crate::command::{Failure, run};
use crate::{repository, stage};

/// Where the runtime is installed.
pub(crate) fn prefix(cluster: &Cluster) -> PathBuf {
    cluster.dir().join("opt/skete")
}

/// Builds the runtime, installs it on the node, has containerd read its configuration anew, and
/// makes the RuntimeClass.
pub(crate) fn install(cluster: &Cluster) -> Result<(), Failure> {
    must_be_root()?;
    cluster.must_be_up()?;
    let staged = stage::build()?;
    let dir = cluster.dir();
    let prefix = prefix(cluster);
    run(cluster
        .enter(staged.join("bin/skete"))
        .args(["node", "install", "--no-restart", "--allow-emulation"])
        // For a test.
        .args(["--allow-host-path", "/etc/debian_version"])
        .arg("--prefix")
        .arg(&prefix)
        .arg("--root")
        .arg(dir.join("skete"))
        .arg("--run-root")
        .arg(cluster.run_dir())
        .arg("--containerd")
        .arg(programs::path("containerd")?)
        .arg("--containerd-config")
        .arg(dir.join("etc/containerd/config.toml"))
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .args(["--node-name", &cluster.node()])
        .env("PATH", programs::search_path()?))?;
    // What a systemd drop-in does on another node.
    link(
        &prefix.join("current/libexec/mkfs.erofs"),
        &dir.join("opt/bin/mkfs.erofs"),
    )?;
    up::restart(cluster, &["containerd"], false)?;
    run(cluster
        .kubectl()?
        .args(["apply", "-k"])
        .arg(repository().join("deploy/emulation")))
}

fn link(to: &Path, at: &Path) -> Result<(), Failure> {
    let linked = || {
        if let Some(parent) = at.parent() {
            fs::create_dir_all(parent)?;
        }
        match fs::remove_file(at) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        symlink(to, at)
    };
    linked().map_err(|error| Failure::io(at.display(), &error))
}
