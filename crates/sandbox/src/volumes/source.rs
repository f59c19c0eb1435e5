//! What a bind mount's source is, told by the kubelet's layout of its directory of Pods.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::mountinfo::{self, Mount};

/// What a bind mount's source is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A volume of files that the kubelet keeps current, and a path below it.
    Files {
        /// The volume's directory.
        root: PathBuf,
        /// What of it is mounted.
        below: PathBuf,
    },
    /// A directory whose files stay as they are.
    Tree(PathBuf),
    /// An emptyDir, and a path below it.
    EmptyDir {
        /// The volume's directory on the host, which stays empty.
        root: PathBuf,
        /// What of it is mounted.
        below: PathBuf,
        /// The volume's name in the Pod.
        name: String,
    },
    /// A path in a volume that the guest mounted of a disk.
    Disk {
        /// The volume in the guest.
        name: String,
        /// What of it is mounted.
        below: PathBuf,
    },
    /// One file.
    File(PathBuf),
    /// The file that the kubelet reads a container's last words from.
    TerminationLog(PathBuf),
    /// Anything else.
    Host,
}

/// The names of the volumes that the guest mounted of disks, by where the kubelet has them.
pub(super) type Disks = BTreeMap<PathBuf, String>;

/// Finds `volumes/kubernetes.io~KIND/NAME`, `volume-subpaths/NAME/CONTAINER/INDEX` or
/// `containers/NAME/ID` in the source, or looks at what the source is.
pub(super) fn classify(source: &Path, destination: &str, disks: &Disks) -> Source {
    let plain = |c: Component<'_>| matches!(c, Component::RootDir | Component::Normal(_));
    if !source.components().all(plain) {
        return Source::Host;
    }
    if let Some(volume) = volume(source, disks) {
        return volume;
    }
    let Ok(meta) = source.symlink_metadata() else {
        return Source::Host;
    };
    if is_sub_path(source) {
        return match sub_path(source, disks) {
            Some(volume @ (Source::EmptyDir { .. } | Source::Disk { .. })) => volume,
            // The kubelet never changes what it has bound there.
            Some(Source::Files { .. }) if meta.is_dir() => Source::Tree(source.to_owned()),
            Some(Source::Files { .. }) if meta.is_file() => Source::File(source.to_owned()),
            _ => Source::Host,
        };
    }
    if !meta.is_file() {
        return Source::Host;
    }
    if is_termination_log(source) && !destination.starts_with("/etc/") {
        return Source::TerminationLog(source.to_owned());
    }
    Source::File(source.to_owned())
}

fn names(path: &Path) -> Vec<&str> {
    path.components()
        .map(|component| component.as_os_str().to_str().unwrap_or_default())
        .collect()
}

/// A path in a volume of a kind that is known.
fn volume(source: &Path, disks: &Disks) -> Option<Source> {
    for (place, name) in disks {
        if let Ok(below) = source.strip_prefix(place) {
            let (name, below) = (name.clone(), below.to_owned());
            return Some(Source::Disk { name, below });
        }
    }
    let components: Vec<_> = source.components().collect();
    let names = names(source);
    for (index, window) in names.windows(3).enumerate() {
        let ["volumes", plugin, name] = window else {
            continue;
        };
        let Some(kind) = plugin.strip_prefix("kubernetes.io~") else {
            continue;
        };
        let root = components[..index + 3].iter().collect();
        let below = components[index + 3..].iter().collect();
        match kind {
            "empty-dir" => {
                let name = (*name).to_owned();
                return Some(Source::EmptyDir { root, below, name });
            }
            "configmap" | "secret" | "projected" | "downward-api" => {
                return Some(Source::Files { root, below });
            }
            _ => {}
        }
    }
    None
}

/// Whether it is `…/pods/UID/volume-subpaths/VOLUME/CONTAINER/INDEX`, which the kubelet binds a
/// part of a volume to.
fn is_sub_path(source: &Path) -> bool {
    let names = names(source);
    names.len() > 4 && names[names.len() - 4] == "volume-subpaths"
}

/// Whether it is `…/pods/UID/containers/NAME/ID`.
fn is_termination_log(source: &Path) -> bool {
    matches!(
        names(source).as_slice(),
        [.., "pods", _, "containers", _, _]
    )
}

/// The part of a volume that is bound to a sub-path.
fn sub_path(source: &Path, disks: &Disks) -> Option<Source> {
    sub_path_in(&mountinfo::read().ok()?, source, disks)
}

fn sub_path_in(mounts: &[Mount], source: &Path, disks: &Disks) -> Option<Source> {
    let bound = mounts.iter().rev().find(|mount| mount.point == source)?;
    // The same file system is mounted somewhere at or above the volume's own directory.
    mounts
        .iter()
        .filter(|mount| mount.device == bound.device)
        .find_map(|mount| {
            let below = bound.root.strip_prefix(&mount.root).ok()?;
            volume(&mount.point.join(below), disks)
        })
}

#[cfg(test)]
#[path = "source_test.rs"]
mod tests;
