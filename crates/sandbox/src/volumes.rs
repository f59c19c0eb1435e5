//! What a container's spec asks of the host's file system, given to the guest without sharing any
//! of it. A bind mount's source is told by the kubelet's layout: ConfigMaps, Secrets, projected
//! and downward volumes and single files are copied in; an emptyDir lives in the guest; anything
//! else of the host is refused.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};
use skete_agent_api::{VOLUMES_DIR, agent};
use skete_cri_api::annotations::EMPTY_DIR_PREFIX;

use crate::host_files::{self, HostFilesError};

/// Size of `/dev/shm` in bytes, as containerd makes it.
const SHM_BYTES: u64 = 64 << 20;

/// A mount that cannot be given to a guest.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// `mounts` of the spec is not what the specification says.
    #[error("mounts[{index}] of the container's spec has no {field}")]
    Malformed {
        /// In the list.
        index: usize,
        /// What is missing.
        field: &'static str,
    },
    /// A directory or device of the host.
    #[error(
        "mount {destination}: {source_path} of the host cannot be mounted, for nothing of the \
         host's file system is shared with a Pod's guest; use a ConfigMap, an emptyDir or a \
         volume instead"
    )]
    HostPath {
        /// In the container.
        destination: String,
        /// On the host.
        source_path: PathBuf,
    },
    /// The source could not be read.
    #[error("mount {destination}")]
    Read {
        /// In the container.
        destination: String,
        /// What went wrong.
        #[source]
        source: HostFilesError,
    },
}

/// The volumes of one sandbox that its guest has.
#[derive(Debug, Default)]
pub struct Volumes {
    /// The host's directory or file, and the name of the volume that stands for it in the guest.
    names: BTreeMap<PathBuf, String>,
}

/// What a bind mount's source is in the kubelet's layout.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// The volume's directory and a path below it.
    Copied {
        root: PathBuf,
        below: PathBuf,
    },
    EmptyDir {
        root: PathBuf,
        below: PathBuf,
        name: String,
    },
    File(PathBuf),
    Shm,
    Host,
}

impl Volumes {
    /// Rewrites the bind mounts of a spec's `mounts` to paths of the guest, and returns the
    /// volumes that the guest has to be given first.
    ///
    /// # Errors
    /// If a mount is malformed, asks for the host, or its source cannot be read.
    pub fn place(
        &mut self,
        spec: &mut Value,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Vec<agent::PutVolumeRequest>, VolumeError> {
        let mut requests = Vec::new();
        let Some(mounts) = spec.get_mut("mounts").and_then(Value::as_array_mut) else {
            return Ok(requests);
        };
        for (index, mount) in mounts.iter_mut().enumerate() {
            if !is_bind(mount) {
                continue;
            }
            let text = |field: &'static str| {
                let value = mount.get(field).and_then(Value::as_str).map(str::to_owned);
                value.ok_or(VolumeError::Malformed { index, field })
            };
            let destination = text("destination")?;
            let source = PathBuf::from(text("source")?);
            let guest_path = match classify(&source, &destination) {
                Source::Host => {
                    return Err(VolumeError::HostPath {
                        destination,
                        source_path: source,
                    });
                }
                Source::Shm => {
                    *mount = shm_mount(&destination);
                    continue;
                }
                Source::File(file) => {
                    let base = file.file_name().map(PathBuf::from).unwrap_or_default();
                    self.guest_volume(&file, &mut requests, |name| {
                        Ok(files_requests(name, host_files::read_file(&file)?))
                    })
                    .map(|dir| dir.join(base))
                }
                Source::Copied { root, below } => self
                    .guest_volume(&root, &mut requests, |name| {
                        Ok(files_requests(name, host_files::read_tree(&root)?))
                    })
                    .map(|dir| below_dir(dir, &below)),
                Source::EmptyDir {
                    root,
                    below,
                    name: volume,
                } => {
                    let kind = annotations.get(&format!("{EMPTY_DIR_PREFIX}{volume}"));
                    self.guest_volume(&root, &mut requests, |name| {
                        Ok(vec![empty_dir_request(
                            name,
                            &root,
                            kind.map(String::as_str),
                        )])
                    })
                    .map(|dir| below_dir(dir, &below))
                }
            };
            let guest_path = guest_path.map_err(|source| VolumeError::Read {
                destination,
                source,
            })?;
            mount["source"] = json!(guest_path);
        }
        Ok(requests)
    }

    /// The directory in the guest that stands for `host`; `make` says how it comes to be, the
    /// first time it is asked for.
    fn guest_volume(
        &mut self,
        host: &Path,
        requests: &mut Vec<agent::PutVolumeRequest>,
        make: impl FnOnce(&str) -> Result<Vec<agent::PutVolumeRequest>, HostFilesError>,
    ) -> Result<PathBuf, HostFilesError> {
        if let Some(name) = self.names.get(host) {
            return Ok(Path::new(VOLUMES_DIR).join(name));
        }
        let name = format!("v{}", self.names.len());
        requests.extend(make(&name)?);
        self.names.insert(host.to_owned(), name.clone());
        Ok(Path::new(VOLUMES_DIR).join(name))
    }
}

/// Joining an empty path would append a `/`.
fn below_dir(dir: PathBuf, below: &Path) -> PathBuf {
    if below.as_os_str().is_empty() {
        dir
    } else {
        dir.join(below)
    }
}

fn is_bind(mount: &Value) -> bool {
    let has_option = |name| {
        let options = mount.get("options").and_then(Value::as_array);
        options.is_some_and(|options| options.iter().any(|option| option == name))
    };
    mount.get("type").is_some_and(|kind| kind == "bind")
        || has_option("bind")
        || has_option("rbind")
}

fn shm_mount(destination: &str) -> Value {
    json!({
        "destination": destination,
        "type": "tmpfs",
        "source": "shm",
        "options": ["nosuid", "noexec", "nodev", "mode=1777", format!("size={SHM_BYTES}")],
    })
}

/// Finds `volumes/kubernetes.io~KIND/NAME` in the source, or looks at what the source is.
fn classify(source: &Path, destination: &str) -> Source {
    let components: Vec<_> = source.components().collect();
    if components
        .iter()
        .any(|c| !matches!(c, Component::RootDir | Component::Normal(_)))
    {
        return Source::Host;
    }
    let named = |component: &Component<'_>| component.as_os_str().to_str().map(str::to_owned);
    for (index, window) in components.windows(3).enumerate() {
        let [volumes, plugin, name] = window else {
            continue;
        };
        let (Some(plugin), Some(name)) = (named(plugin), named(name)) else {
            continue;
        };
        if volumes.as_os_str() != "volumes" {
            continue;
        }
        let root: PathBuf = components[..index + 3].iter().collect();
        let below: PathBuf = components[index + 3..].iter().collect();
        match plugin.strip_prefix("kubernetes.io~") {
            Some("empty-dir") => return Source::EmptyDir { root, below, name },
            Some("configmap" | "secret" | "projected" | "downward-api") => {
                return Source::Copied { root, below };
            }
            _ => {}
        }
    }
    match source.symlink_metadata() {
        _ if destination == "/dev/shm" => Source::Shm,
        Ok(meta) if meta.is_file() => Source::File(source.to_owned()),
        _ => Source::Host,
    }
}

/// The directory on the host is empty; what counts is its mode and group, by which the kubelet
/// answers `fsGroup`.
fn empty_dir_request(name: &str, root: &Path, kind: Option<&str>) -> agent::PutVolumeRequest {
    let kind: Value = kind
        .and_then(|kind| serde_json::from_str(kind).ok())
        .unwrap_or_default();
    let meta = root.metadata().ok();
    let mut request = agent::PutVolumeRequest {
        name: name.to_owned(),
        size_limit: kind["sizeLimit"].as_u64().unwrap_or(0),
        mode: meta.as_ref().map_or(0, |meta| meta.mode() & 0o7777),
        gid: meta.as_ref().map_or(0, MetadataExt::gid),
        ..Default::default()
    };
    if kind["memory"] == true {
        request.set_tmpfs(agent::Tmpfs::new());
    } else {
        request.set_scratch(agent::Empty::new());
    }
    request
}

/// Cuts the files into messages well below ttrpc's 4 MiB.
fn files_requests(name: &str, files: Vec<agent::File>) -> Vec<agent::PutVolumeRequest> {
    const MESSAGE_BYTES: usize = 2 << 20;
    let mut batches = vec![Vec::new()];
    let mut bytes = 0;
    for file in files {
        let size = file.content.len() + file.path.len() + 64;
        if bytes + size > MESSAGE_BYTES && bytes > 0 {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(batch) = batches.last_mut() {
            batch.push(file);
        }
    }
    let last = batches.len() - 1;
    let request = |(index, entries)| {
        let mut request = agent::PutVolumeRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        request.set_files(agent::Files {
            entries,
            more: index < last,
            ..Default::default()
        });
        request
    };
    batches.into_iter().enumerate().map(request).collect()
}

#[cfg(test)]
#[path = "volumes_test.rs"]
mod tests;
