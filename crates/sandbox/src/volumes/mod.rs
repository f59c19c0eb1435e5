//! What a container's spec asks of the host's file system, given to the guest without sharing any
//! of it. ConfigMaps, Secrets, projected and downward volumes and single files are copied in, and
//! kept current; an emptyDir lives in the guest; anything else of the host is refused.

pub(crate) mod disk;
pub(crate) mod empty_dir;
mod image;
mod source;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use skete_agent_api::{VOLUMES_DIR, agent};
use skete_cri_api::annotations::EMPTY_DIR_PREFIX;
use skete_cri_api::runtime::PodSandboxConfig;

use self::empty_dir::EmptyDisks;
use self::image::ImageError;
use self::source::{Disks, Source, classify};
use crate::host_files::{self, HostFilesError};
use crate::policy::Policy;
use crate::scratch::ScratchError;

/// Size of `/dev/shm` in bytes, as containerd makes it.
const SHM_BYTES: u64 = 64 << 20;
/// The guest's volume that every container has at `/dev/shm`.
const SHM: &str = "shm";
/// The guest's volume of the files that containerd makes for each sandbox of its own.
const SANDBOX_FILES: &str = "sandbox";
/// Their names in it, and in a container's `/etc`.
const HOSTNAME: &str = "hostname";
const RESOLV_CONF: &str = "resolv.conf";
/// The link by which the kubelet swaps all files of a volume at once.
const DATA: &str = "..data";
/// How often files are read again that the kubelet swapped meanwhile.
const SWAPS: usize = 8;

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
         volume instead, or have the node's administrator allow a copy of it with `skete node \
         install --allow-host-path`"
    )]
    HostPath {
        /// In the container.
        destination: String,
        /// On the host.
        source_path: PathBuf,
    },
    /// An image volume.
    #[error("mount {destination}")]
    Image {
        /// In the container.
        destination: String,
        /// Why the guest cannot have it.
        #[source]
        source: ImageError,
    },
    /// An emptyDir's disk.
    #[error("make the emptyDir for {destination}")]
    EmptyDir {
        /// In the container.
        destination: String,
        /// Why it was not made.
        #[source]
        source: ScratchError,
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

/// The host's directories and files, and the names of the volumes that stand for them in the guest.
#[derive(Debug, Default)]
struct Names(BTreeMap<PathBuf, String>);

impl Names {
    /// The directory in the guest that stands for `host`; `give` says how it comes to be, the first
    /// time it is asked for.
    fn guest_dir<E>(
        &mut self,
        host: &Path,
        give: impl FnOnce(&str) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        if let Some(name) = self.0.get(host) {
            return Ok(Path::new(VOLUMES_DIR).join(name));
        }
        let name = format!("v{}", self.0.len());
        give(&name)?;
        let dir = Path::new(VOLUMES_DIR).join(&name);
        self.0.insert(host.to_owned(), name);
        Ok(dir)
    }

    /// Whether a volume of that name, of no path on the host, is asked for the first time.
    fn is_new(&mut self, name: &str) -> bool {
        self.0.insert(name.into(), name.to_owned()).is_none()
    }
}

/// The volumes of one sandbox that its guest has.
#[derive(Debug, Default)]
pub struct Volumes {
    names: Names,
    /// Those that the guest has of disks.
    disks: Disks,
    /// The sandbox's id.
    sandbox: String,
    /// How emptyDirs get disks of their own; without, they are on the scratch disk.
    empty_disks: Option<EmptyDisks>,
    /// What the kubelet keeps current.
    current: Vec<Current>,
}

/// A volume of files as it was last copied.
#[derive(Debug)]
struct Current {
    root: PathBuf,
    name: String,
    /// Where `..data` led to.
    data: Option<PathBuf>,
}

/// What a container's mounts come to.
#[derive(Debug, Default)]
pub struct Placed {
    /// The volumes that the guest has to be given first.
    pub requests: Vec<agent::PutVolumeRequest>,
    /// The disks that have to be plugged in before those: their serials and files.
    pub disks: Vec<(String, PathBuf)>,
    /// Image volumes that the guest has to be given, too: their names, and the files of the layers.
    pub images: Vec<(String, Vec<PathBuf>)>,
    /// What the kubelet wants to read when the container has ended.
    pub termination_log: Option<TerminationLog>,
}

/// A container's last words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminationLog {
    /// The kubelet's file on the host.
    pub host: PathBuf,
    /// The volume in the guest that holds the container's.
    pub volume: String,
    /// Its name there.
    pub file: String,
}

impl TerminationLog {
    /// Writes what the container left into the kubelet's file. One that is not there any more is
    /// not made anew, and a link in its place is not followed.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep(&self, content: &[u8]) -> io::Result<()> {
        let flags = rustix::fs::OFlags::NOFOLLOW.bits();
        let mut options = fs::File::options();
        options.write(true).truncate(true);
        options.custom_flags(flags.cast_signed());
        options.open(&self.host)?.write_all(content)
    }
}

impl Volumes {
    /// Those of a sandbox, and how its emptyDirs get disks of their own, if they do.
    pub(crate) fn new(sandbox: &str, empty_disks: Option<EmptyDisks>) -> Self {
        Self {
            sandbox: sandbox.to_owned(),
            empty_disks,
            ..Self::default()
        }
    }

    /// Rewrites the bind mounts of a spec's `mounts` to paths of the guest, and adds those that
    /// containerd leaves to a sandboxer.
    ///
    /// # Errors
    /// If a mount is malformed, asks for the host, or its source cannot be read.
    pub fn place(
        &mut self,
        spec: &mut Value,
        config: &PodSandboxConfig,
        policy: &Policy,
    ) -> Result<Placed, VolumeError> {
        let mut placed = Placed::default();
        let Some(mounts) = spec.get_mut("mounts").and_then(Value::as_array_mut) else {
            return Ok(placed);
        };
        for (index, mount) in mounts.iter_mut().enumerate() {
            let text = |field: &'static str| {
                let value = mount.get(field).and_then(Value::as_str).map(str::to_owned);
                value.ok_or(VolumeError::Malformed { index, field })
            };
            let destination = text("destination")?;
            if destination == "/dev/shm" {
                self.shm(mount, &mut placed);
                continue;
            }
            if !is_bind(mount) {
                continue;
            }
            let source = PathBuf::from(text("source")?);
            let guest = self.bind(&source, &destination, config, policy, &mut placed)?;
            mount["source"] = json!(guest);
        }
        self.sandbox_files(mounts, config, &mut placed);
        Ok(placed)
    }

    /// The path in the guest of a bind mount's source.
    fn bind(
        &mut self,
        source: &Path,
        destination: &str,
        config: &PodSandboxConfig,
        policy: &Policy,
        placed: &mut Placed,
    ) -> Result<PathBuf, VolumeError> {
        if let Some((root, below)) = image::split(source, &self.sandbox) {
            let image = self.image(&root, placed);
            let dir = image.map_err(|source| VolumeError::Image {
                destination: destination.to_owned(),
                source,
            })?;
            return Ok(below_dir(dir, &below));
        }
        let requests = &mut placed.requests;
        let kind = match classify(source, destination, &self.disks) {
            Source::Host => match policy.host_path(source) {
                Some(place) if place.is_dir() => Source::Tree(place),
                Some(place) if place.is_file() => Source::File(place),
                _ => Source::Host,
            },
            other => other,
        };
        let guest: Result<_, HostFilesError> = match kind {
            Source::Host => {
                return Err(VolumeError::HostPath {
                    destination: destination.to_owned(),
                    source_path: source.to_owned(),
                });
            }
            Source::Disk { name, below } => {
                Ok(below_dir(Path::new(VOLUMES_DIR).join(name), &below))
            }
            Source::File(file) => self.file(&file, requests),
            Source::TerminationLog(file) => {
                let guest = self.file(&file, requests);
                if let Some(volume) = self.names.0.get(&file) {
                    placed.termination_log = Some(TerminationLog {
                        host: file.clone(),
                        volume: volume.clone(),
                        file: file_name(&file),
                    });
                }
                guest
            }
            Source::Tree(root) => self.names.guest_dir(&root, |name| {
                requests.extend(files_requests(name, host_files::read_tree(&root)?));
                Ok(())
            }),
            Source::Files { root, below } => {
                let current = &mut self.current;
                let guest = self.names.guest_dir(&root, |name| {
                    let (copied, files) = Current::read(&root, name)?;
                    current.push(copied);
                    requests.extend(files_requests(name, files));
                    Ok(())
                });
                guest.map(|dir| below_dir(dir, &below))
            }
            Source::EmptyDir { root, below, name } => {
                let kind = config
                    .annotations
                    .get(&format!("{EMPTY_DIR_PREFIX}{name}"))
                    .map(String::as_str);
                let made = self.empty_dir(&root, kind, placed);
                let dir = made.map_err(|source| VolumeError::EmptyDir {
                    destination: destination.to_owned(),
                    source,
                })?;
                Ok(below_dir(dir, &below))
            }
        };
        guest.map_err(|source| VolumeError::Read {
            destination: destination.to_owned(),
            source,
        })
    }

    /// The directory in the guest of an emptyDir, on a disk of its own if there may be one more.
    fn empty_dir(
        &mut self,
        root: &Path,
        kind: Option<&str>,
        placed: &mut Placed,
    ) -> Result<PathBuf, ScratchError> {
        let disks = &mut self.empty_disks;
        self.names.guest_dir(root, |name| {
            let mut request = empty_dir::request(name, root, kind);
            if request.has_scratch()
                && let Some(disks) = disks
                && let Some(file) = disks.make(root)?
            {
                request.set_block(empty_dir::block(name));
                placed.disks.push((name.to_owned(), file));
            }
            placed.requests.push(request);
            Ok(())
        })
    }

    fn image(&mut self, root: &Path, placed: &mut Placed) -> Result<PathBuf, ImageError> {
        self.names.guest_dir(root, |name| {
            placed.images.push((name.to_owned(), image::layers(root)?));
            Ok(())
        })
    }

    fn file(
        &mut self,
        file: &Path,
        requests: &mut Vec<agent::PutVolumeRequest>,
    ) -> Result<PathBuf, HostFilesError> {
        let dir = self.names.guest_dir(file, |name| {
            requests.extend(files_requests(name, host_files::read_file(file)?));
            Ok(())
        });
        dir.map(|dir| dir.join(file_name(file)))
    }

    /// The Pod's containers share their memory as they do their IPC namespace.
    fn shm(&mut self, mount: &mut Value, placed: &mut Placed) {
        let options = mount.get("options").and_then(Value::as_array);
        let size = options
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find_map(|option| {
                option
                    .strip_prefix("size=")?
                    .strip_suffix('k')?
                    .parse()
                    .ok()
            })
            .map_or(SHM_BYTES, |kibibytes: u64| kibibytes << 10);
        if self.names.is_new(SHM) {
            let mut request = agent::PutVolumeRequest {
                name: SHM.to_owned(),
                size_limit: size,
                mode: 0o1777,
                ..Default::default()
            };
            request.set_tmpfs(agent::Tmpfs::new());
            placed.requests.push(request);
        }
        *mount = json!({
            "destination": "/dev/shm",
            "type": "bind",
            "source": Path::new(VOLUMES_DIR).join(SHM),
            "options": ["rbind", "nosuid", "noexec", "nodev"],
        });
    }

    /// containerd's own sandboxer writes `/etc/hostname` and `/etc/resolv.conf` for a Pod and
    /// leaves them to every other one.
    fn sandbox_files(
        &mut self,
        mounts: &mut Vec<Value>,
        config: &PodSandboxConfig,
        placed: &mut Placed,
    ) {
        let is_missing = |name: &&str| {
            let path = format!("/etc/{name}");
            !mounts.iter().any(|mount| mount["destination"] == path)
        };
        let missing: Vec<_> = [HOSTNAME, RESOLV_CONF]
            .into_iter()
            .filter(is_missing)
            .collect();
        if missing.is_empty() {
            return;
        }
        if self.names.is_new(SANDBOX_FILES) {
            let resolv_conf = match skete_cri_api::resolv_conf(&config.dns_config) {
                // As containerd does for a kubelet that says nothing.
                text if text.is_empty() => {
                    fs::read_to_string("/etc/resolv.conf").unwrap_or_default()
                }
                text => text,
            };
            let entry = |name: &str, text: String| agent::File {
                path: name.to_owned(),
                mode: 0o100_644,
                content: text.into_bytes(),
                ..Default::default()
            };
            let entries = vec![
                entry(HOSTNAME, format!("{}\n", config.hostname)),
                entry(RESOLV_CONF, resolv_conf),
            ];
            let requests = files_requests(SANDBOX_FILES, entries);
            placed.requests.extend(requests);
        }
        let guest = Path::new(VOLUMES_DIR).join(SANDBOX_FILES);
        mounts.extend(missing.into_iter().map(|name| {
            json!({
                "destination": format!("/etc/{name}"),
                "type": "bind",
                "source": guest.join(name),
                "options": ["rbind", "rw"],
            })
        }));
    }

    /// Remembers that the guest has, by that name, what the kubelet has at `place`.
    pub(crate) fn add_disk(&mut self, place: PathBuf, name: String) {
        self.disks.insert(place, name);
    }

    /// Whether the guest has what outlives it.
    pub(crate) fn has_disks(&self) -> bool {
        !self.disks.is_empty()
    }

    /// What the kubelet has swapped since it was copied. A volume that cannot be read, as when
    /// its Pod is being removed, stays as it is.
    pub fn changes(&mut self) -> Vec<agent::PutVolumeRequest> {
        let mut requests = Vec::new();
        for current in &mut self.current {
            if data_of(&current.root) == current.data {
                continue;
            }
            if let Ok((now, files)) = Current::read(&current.root, &current.name) {
                *current = now;
                requests.extend(files_requests(&current.name, files));
            }
        }
        requests
    }
}

impl Current {
    /// Reads a volume's files between two swaps.
    fn read(root: &Path, name: &str) -> Result<(Self, Vec<agent::File>), HostFilesError> {
        let mut tries = SWAPS;
        loop {
            let data = data_of(root);
            let files = host_files::read_tree(root);
            tries -= 1;
            if data_of(root) == data || tries == 0 {
                let current = Self {
                    root: root.to_owned(),
                    name: name.to_owned(),
                    data,
                };
                return Ok((current, files?));
            }
        }
    }
}

fn data_of(root: &Path) -> Option<PathBuf> {
    fs::read_link(root.join(DATA)).ok()
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
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
#[path = "mod_test.rs"]
mod tests;
