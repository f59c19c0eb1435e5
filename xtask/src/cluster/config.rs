//! The configuration files of a node: those in `tests/cluster/node`, with this cluster's paths.

use std::fs;
use std::path::Path;

use super::{Cluster, pki};
use crate::command::Failure;

/// Which file goes where below the cluster's directory.
const FILES: &[(&str, &str)] = &[
    (
        "etc/containerd/config.toml",
        include_str!("../../../tests/cluster/node/containerd.toml"),
    ),
    (
        "etc/containerd/certs.d/_default/hosts.toml",
        include_str!("../../../tests/cluster/node/hosts.toml"),
    ),
    (
        "etc/cni/net.d/10-bridge.conflist",
        include_str!("../../../tests/cluster/node/cni.conflist"),
    ),
    (
        "etc/registry.yaml",
        include_str!("../../../tests/cluster/node/registry.yaml"),
    ),
    (
        "etc/kubernetes/kubelet.yaml",
        include_str!("../../../tests/cluster/node/kubelet.yaml"),
    ),
    (
        "etc/Corefile",
        include_str!("../../../tests/cluster/node/Corefile"),
    ),
];
const KUBECONFIG: &str = include_str!("../../../tests/cluster/node/kubeconfig.yaml");
/// The Services of the cluster's DNS server and of metrics-server, which are programs of the node.
pub(crate) const SERVICES: &[&str] = &[
    include_str!("../../../tests/cluster/node/dns.yaml"),
    include_str!("../../../tests/cluster/node/metrics.yaml"),
];

/// Writes them all. containerd's is left alone once it is there: `skete node install` extends it.
pub(crate) fn write(cluster: &Cluster) -> Result<(), Failure> {
    let dir = cluster.dir();
    for sub in [
        "etc/containerd/conf.d",
        "etc/kubernetes/manifests",
        "log",
        "opt/bin",
    ] {
        let path = dir.join(sub);
        fs::create_dir_all(&path).map_err(|error| Failure::io(path.display(), &error))?;
    }
    let registry = super::images::registry()?;
    let fill = |template: &str, user: &str| {
        fill(
            template,
            &[
                ("DIR", &dir.to_string_lossy()),
                ("RUN", &cluster.run_dir().to_string_lossy()),
                ("NODE", &cluster.node()),
                ("REGISTRY", &registry.to_string_lossy()),
                ("USER", user),
            ],
        )
    };
    for (path, template) in FILES {
        let path = dir.join(path);
        if path.ends_with("containerd/config.toml") && path.exists() {
            continue;
        }
        put(&path, &fill(template, ""))?;
    }
    for user in pki::USERS {
        let path = dir.join(format!("etc/kubernetes/{user}.conf"));
        put(&path, &fill(KUBECONFIG, user))?;
    }
    Ok(())
}

/// Puts values for the `@NAMES@` of a template.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("@{name}@"), value)
        })
}

/// Writes a file, unless it is so already.
fn put(path: &Path, text: &str) -> Result<(), Failure> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let written = (|| {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)
    })();
    written.map_err(|error| Failure::io(path.display(), &error))
}

#[cfg(test)]
#[path = "config_test.rs"]
mod tests;
