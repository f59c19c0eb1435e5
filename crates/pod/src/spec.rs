//! The OCI runtime specification of a container, as containerd's CRI plugin writes it.

use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::Container;
use oci_spec::runtime::Spec;
use serde_json::{Value as Json, json};
use thiserror::Error;

use crate::annotations;
use crate::env::{Addresses, lookup, resolve};
use crate::expand::expand;
use crate::image::ImageConfig;
use crate::names;
use crate::plan::{ContainerPlan, Shared};
use crate::seccomp;
use crate::security::{Seccomp, Security};
use crate::volumes::{VolumePlan, VolumeSource};

const OCI_VERSION: &str = "1.3.0";
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The kubelet's, for `procMount: Default`.
const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Why a container cannot be specified.
#[derive(Debug, Error)]
pub enum SpecError {
    /// Neither the Pod nor the image says what to run.
    #[error("container {0:?}: the image has no command; give one")]
    NoCommand(String),
    /// `runAsNonRoot`, and the image runs as root.
    #[error("container {0:?}: runAsNonRoot, but the image runs as root; set runAsUser")]
    Root(String),
    /// `runAsNonRoot`, and the image names a user that may be root.
    #[error(
        "container {0:?}: runAsNonRoot, but the image's user {1:?} is not a number, so it may be root; set runAsUser"
    )]
    MayBeRoot(String, String),
    /// Not `USER[:GROUP]`.
    #[error("container {0:?}: {1:?} is not a user; it has to be USER[:GROUP]")]
    User(String, String),
    /// `supplementalGroupsPolicy: Strict`, and the user's group is only known to the image.
    #[error(
        "container {0:?}: supplementalGroupsPolicy is Strict, but the group is not given; set runAsGroup"
    )]
    NoGroup(String),
    /// `subPathExpr` came to a path out of the volume.
    #[error("container {container:?}: the subPathExpr of the mount on {mount:?}: {message}")]
    SubPath {
        /// The container.
        container: String,
        /// Its `mountPath`.
        mount: String,
        /// What is wrong.
        message: String,
    },
    /// A volume of files has nothing by that name.
    #[error("container {container:?}: the mount on {mount:?}: the volume has no {path:?}")]
    NoSubPath {
        /// The container.
        container: String,
        /// Its `mountPath`.
        mount: String,
        /// The `subPath`.
        path: String,
    },
    /// The pieces did not make a specification.
    #[error("container {0:?}: no valid OCI runtime specification")]
    Encode(String, #[source] serde_json::Error),
}

/// What is known about a container once its image is there and its sandbox runs.
#[derive(Debug, Clone, Copy)]
pub struct ContainerInput<'a> {
    /// From the image's configuration.
    pub image: &'a ImageConfig,
    /// The image's name, for an annotation.
    pub image_name: &'a str,
    /// The sandbox's id.
    pub sandbox_id: &'a str,
    /// The container's id.
    pub container_id: &'a str,
    /// The process that `StartSandbox` reported.
    pub sandbox_pid: u32,
    /// The Pod's and the machine's.
    pub addresses: Addresses<'a>,
}

/// A mount of a volume, its source known but for what the environment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountPlan {
    source: PathBuf,
    /// Of a volume of files, what it holds.
    files: Option<Vec<String>>,
    path: String,
    sub_path: Option<String>,
    sub_path_expr: Option<String>,
    read_only: bool,
}

impl MountPlan {
    pub(crate) fn of(container: &Container, volumes: &[VolumePlan], pod_dir: &Path) -> Vec<Self> {
        let mounts = container.volume_mounts.iter().flatten();
        mounts
            .filter_map(|mount| {
                let volume = volumes.iter().find(|volume| volume.name == mount.name)?;
                let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
                Some(Self {
                    source: volume.dir(pod_dir),
                    files: match &volume.source {
                        VolumeSource::Files(files) => Some(files.files.keys().cloned().collect()),
                        VolumeSource::EmptyDir(_) => None,
                    },
                    path: format!("/{}", mount.mount_path.trim_start_matches('/')),
                    sub_path: filled(&mount.sub_path),
                    sub_path_expr: filled(&mount.sub_path_expr),
                    read_only: mount.read_only.unwrap_or(false) || volume.is_read_only(),
                })
            })
            .collect()
    }
}

/// A bind mount, as the kubelet and containerd agree on it.
struct Bind {
    source: PathBuf,
    destination: String,
    read_only: bool,
}

impl ContainerPlan {
    /// The container's specification: what containerd's CRI plugin puts into `config.json`.
    ///
    /// The sources of volume mounts are paths of the host in the kubelet's layout.
    ///
    /// One thing that containerd does is left to the guest, which alone sees the image's files:
    /// `process.user.username`, where it is set, is `USER[:GROUP]`, names or numbers, to be looked
    /// up in the root file system's `/etc/passwd` and `/etc/group`, and takes the place of `uid`
    /// and `gid`; `additionalGids` stay. containerd passes users of Linux guests in the same way
    /// on Windows.
    ///
    /// # Errors
    /// [`SpecError`], where Pod and image do not fit together.
    pub fn spec(&self, input: &ContainerInput<'_>) -> Result<Spec, SpecError> {
        let variables = resolve(&self.variables, &input.addresses);
        let user = self.user(input.image)?;
        let json = json!({
            "ociVersion": OCI_VERSION,
            "process": self.process(input, &variables, &user)?,
            "root": { "path": "rootfs", "readonly": self.security.read_only_root },
            "mounts": self.mounts(&variables)?,
            "annotations": self.annotations(input),
            "linux": self.linux(input)?,
        });
        serde_json::from_value(json).map_err(|error| SpecError::Encode(self.name.clone(), error))
    }

    fn process(
        &self,
        input: &ContainerInput<'_>,
        variables: &[(String, String)],
        user: &User,
    ) -> Result<Json, SpecError> {
        let mut identity = json!({
            "uid": user.uid,
            "gid": user.gid,
            "additionalGids": user.additional(&self.security.groups),
        });
        if let Some(lookup) = &user.lookup {
            identity["username"] = json!(lookup);
        }
        let cwd = match (&self.working_dir, input.image.working_dir.as_str()) {
            (Some(dir), _) => dir,
            (None, "") => "/",
            (None, dir) => dir,
        };
        let caps = &self.security.capabilities;
        Ok(json!({
            "terminal": self.tty,
            "user": identity,
            "args": self.args(input.image, variables)?,
            "env": self.env(input.image, variables),
            "cwd": cwd,
            "capabilities": { "bounding": caps, "effective": caps, "permitted": caps },
            "noNewPrivileges": self.security.no_new_privileges,
            "oomScoreAdj": self.resources.oom_score_adj,
        }))
    }

    /// Kubernetes' table: `command` replaces both of the image's, `args` only its `CMD`.
    fn args(
        &self,
        image: &ImageConfig,
        variables: &[(String, String)],
    ) -> Result<Vec<String>, SpecError> {
        let expanded = |list: &[String]| -> Vec<String> {
            let expand = |text: &String| expand(text, |name| lookup(variables, name));
            list.iter().map(expand).collect()
        };
        let mut args = match &self.command {
            Some(command) => expanded(command),
            // An ENTRYPOINT of one empty word is none.
            None if image.entrypoint == [""] => Vec::new(),
            None => image.entrypoint.clone(),
        };
        if self.command.is_none() && self.args.is_empty() {
            args.extend(image.cmd.iter().cloned());
        } else {
            args.extend(expanded(&self.args));
        }
        if args.is_empty() {
            return Err(SpecError::NoCommand(self.name.clone()));
        }
        Ok(args)
    }

    fn env(&self, image: &ImageConfig, variables: &[(String, String)]) -> Vec<String> {
        let mut env = vec![format!("PATH={DEFAULT_PATH}")];
        if self.tty {
            env.push("TERM=xterm".to_owned());
        }
        let mut set = |entry: String| {
            let name = entry.split('=').next().unwrap_or_default().to_owned();
            let same = |other: &String| other.split('=').next() == Some(name.as_str());
            if !entry.contains('=') {
                env.retain(|other| !same(other)); // containerd: without a value means unset
            } else if let Some(old) = env.iter_mut().find(|other| same(other)) {
                *old = entry;
            } else {
                env.push(entry);
            }
        };
        set(format!("HOSTNAME={}", self.shared.hostname));
        image.env.iter().cloned().for_each(&mut set);
        let own = variables
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        own.for_each(&mut set);
        env
    }

    fn user(&self, image: &ImageConfig) -> Result<User, SpecError> {
        let security = &self.security;
        let text = match (security.user, &self.named_user) {
            (Some(user), _) => user.to_string(),
            (None, Some(named)) => named.clone(),
            (None, None) => image.user.clone(),
        };
        let user = User::parse(&text, security)
            .ok_or_else(|| SpecError::User(self.name.clone(), text.clone()))?;
        // With a group the guest adds none of the image's; without, it would have to.
        if security.strict_groups && !user.has_group {
            return Err(SpecError::NoGroup(self.name.clone()));
        }
        if security.non_root && security.user.is_none() {
            match user.name.parse::<u32>() {
                Ok(0) => return Err(SpecError::Root(self.name.clone())),
                Ok(_) => {}
                Err(_) => return Err(SpecError::MayBeRoot(self.name.clone(), user.name)),
            }
        }
        Ok(user)
    }

    fn annotations(&self, input: &ContainerInput<'_>) -> Json {
        let shared = &self.shared;
        json!({
            (annotations::CRI_SANDBOX_ID): input.sandbox_id,
            (annotations::CRI_SANDBOX_NAMESPACE): shared.namespace,
            (annotations::CRI_SANDBOX_UID): shared.uid,
            (annotations::CRI_SANDBOX_NAME): shared.name,
            (annotations::CRI_CONTAINER_NAME): self.name,
            (annotations::CRI_IMAGE_NAME): input.image_name,
            (annotations::CRI_CONTAINER_TYPE): "container",
        })
    }

    fn linux(&self, input: &ContainerInput<'_>) -> Result<Json, SpecError> {
        let shared = &self.shared;
        let security = &self.security;
        let pid = input.sandbox_pid;
        let of_sandbox = |kind: &str, file: &str| json!({ "type": kind, "path": format!("/proc/{pid}/ns/{file}") });
        let mut namespaces = vec![
            if shared.share_processes {
                of_sandbox("pid", "pid")
            } else {
                json!({ "type": "pid" })
            },
            of_sandbox("ipc", "ipc"),
            of_sandbox("uts", "uts"),
            json!({ "type": "mount" }),
            of_sandbox("network", "net"),
        ];
        if !security.privileged {
            namespaces.push(json!({ "type": "cgroup" }));
        }
        let (masked, readonly): (&[&str], &[&str]) =
            if security.privileged || security.unmasked_proc {
                (&[], &[])
            } else {
                (&MASKED_PATHS, &READONLY_PATHS)
            };
        let mut linux = json!({
            "cgroupsPath": format!("{}/{}", shared.cgroup_parent, input.container_id),
            "namespaces": namespaces,
            "resources": self.linux_resources(),
            "maskedPaths": masked,
            "readonlyPaths": readonly,
        });
        if security.seccomp == Seccomp::RuntimeDefault {
            let arch = match std::env::consts::ARCH {
                "aarch64" => "arm64",
                _ => "amd64",
            };
            linux["seccomp"] = seccomp::default_profile(arch, &security.capabilities)
                .map_err(|error| SpecError::Encode(self.name.clone(), error))?;
        }
        Ok(linux)
    }

    fn linux_resources(&self) -> Json {
        let resources = &self.resources;
        let mut cpu = json!({ "shares": resources.cpu_shares, "period": resources.cpu_period });
        if resources.cpu_quota != 0 {
            cpu["quota"] = json!(resources.cpu_quota);
        }
        let mut memory = json!({});
        if resources.memory_limit_in_bytes != 0 {
            // As much memory and swap together as memory: no swap.
            memory = json!({
                "limit": resources.memory_limit_in_bytes,
                "swap": resources.memory_limit_in_bytes,
            });
        }
        json!({
            "devices": [{ "allow": self.security.privileged, "access": "rwm" }],
            "cpu": cpu,
            "memory": memory,
            "unified": resources.unified,
        })
    }

    fn mounts(&self, variables: &[(String, String)]) -> Result<Vec<Json>, SpecError> {
        let mut binds = self.binds(variables)?;
        let depth = |bind: &Bind| clean(&bind.destination).matches('/').count();
        binds.sort_by_key(depth); // stable, as containerd's is
        let taken: Vec<String> = binds.iter().map(|bind| clean(&bind.destination)).collect();
        let is_taken = |path: &str| {
            let below_dev = path.starts_with("/dev/") && taken.iter().any(|t| t == "/dev");
            below_dev || taken.iter().any(|t| t == path)
        };
        let (sys, cgroup) = if self.security.privileged {
            ("rw", "rw")
        } else {
            ("ro", "ro")
        };
        let system: [(&str, &str, &str, &[&str]); 7] = [
            ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
            (
                "/dev",
                "tmpfs",
                "tmpfs",
                &["nosuid", "strictatime", "mode=755", "size=65536k"],
            ),
            (
                "/dev/pts",
                "devpts",
                "devpts",
                &[
                    "nosuid",
                    "noexec",
                    "newinstance",
                    "ptmxmode=0666",
                    "mode=0620",
                    "gid=5",
                ],
            ),
            (
                "/dev/shm",
                "tmpfs",
                "shm",
                &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
            ),
            (
                "/dev/mqueue",
                "mqueue",
                "mqueue",
                &["nosuid", "noexec", "nodev"],
            ),
            (
                "/sys",
                "sysfs",
                "sysfs",
                &["nosuid", "noexec", "nodev", sys],
            ),
            (
                "/sys/fs/cgroup",
                "cgroup",
                "cgroup",
                &["nosuid", "noexec", "nodev", "relatime", cgroup],
            ),
        ];
        let mut mounts: Vec<Json> = system
            .into_iter()
            .filter(|(destination, ..)| !is_taken(destination))
            .map(|(destination, kind, source, options)| {
                json!({
                    "destination": destination,
                    "type": kind,
                    "source": source,
                    "options": options,
                })
            })
            .collect();
        mounts.extend(binds.into_iter().map(|bind| {
            let access = if bind.read_only { "ro" } else { "rw" };
            json!({
                "destination": bind.destination,
                "type": "bind",
                "source": bind.source,
                "options": ["rbind", "rprivate", access],
            })
        }));
        Ok(mounts)
    }

    /// The volumes, then the kubelet's `/etc/hosts`, then containerd's files; what the Pod mounts
    /// itself has precedence.
    fn binds(&self, variables: &[(String, String)]) -> Result<Vec<Bind>, SpecError> {
        let mut binds = Vec::new();
        for mount in &self.mounts {
            binds.push(Bind {
                source: self.source(mount, variables)?,
                destination: mount.path.clone(),
                read_only: mount.read_only,
            });
        }
        let shared: &Shared = &self.shared;
        let read_only = self.security.read_only_root;
        let files = [
            ("/etc/hosts", shared.hosts_path(), false),
            ("/etc/hostname", shared.hostname_path(), read_only),
            ("/etc/resolv.conf", shared.resolv_conf_path(), read_only),
        ];
        for (destination, source, read_only) in files {
            if binds
                .iter()
                .all(|bind| clean(&bind.destination) != destination)
            {
                binds.push(Bind {
                    source,
                    destination: destination.to_owned(),
                    read_only,
                });
            }
        }
        Ok(binds)
    }

    fn source(
        &self,
        mount: &MountPlan,
        variables: &[(String, String)],
    ) -> Result<PathBuf, SpecError> {
        let path = match (&mount.sub_path, &mount.sub_path_expr) {
            (Some(path), _) => path.clone(),
            (None, Some(template)) => {
                let path = expand(template, |name| lookup(variables, name));
                names::relative_path(&path)
                    .and_then(|()| names::filled(&path))
                    .map_err(|message| SpecError::SubPath {
                        container: self.name.clone(),
                        mount: mount.path.clone(),
                        message,
                    })?;
                path
            }
            (None, None) => return Ok(mount.source.clone()),
        };
        let path = clean(&path);
        let relative = path.trim_start_matches('/');
        if let Some(files) = &mount.files {
            let below = format!("{relative}/");
            let is_there = |file: &String| file == relative || file.starts_with(&below);
            if !relative.is_empty() && !files.iter().any(is_there) {
                return Err(SpecError::NoSubPath {
                    container: self.name.clone(),
                    mount: mount.path.clone(),
                    path: relative.to_owned(),
                });
            }
        }
        Ok(mount.source.join(relative))
    }
}

/// A path without `.`, doubled and trailing slashes; `..` goes up.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.extend(part.to_str()),
            Component::ParentDir => _ = parts.pop(),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    format!("/{}", parts.join("/"))
}

/// Whom a container runs as.
struct User {
    name: String,
    uid: u32,
    gid: u32,
    has_group: bool,
    /// What the guest has to look up.
    lookup: Option<String>,
}

impl User {
    /// Reads `USER[:GROUP]`; `runAsGroup` has precedence over the group.
    fn parse(text: &str, security: &Security) -> Option<Self> {
        let (name, group) = match text.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (text, None),
        };
        let fits = |part: &str| !part.contains(':') && !part.contains(char::is_control);
        let name = if name.is_empty() { "0" } else { name };
        let group = group.filter(|group| !group.is_empty()).map(str::to_owned);
        let group = security.group.map(|group| group.to_string()).or(group);
        if !fits(name) || !group.as_deref().is_none_or(fits) {
            return None;
        }
        // As containerd and runc have it, ids end at 2^31 - 1.
        let number = |text: &str| text.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok());
        let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let uid = number(name);
        let gid = group.as_deref().map(number);
        if (uid.is_none() && is_number(name))
            || group
                .as_deref()
                .is_some_and(|g| is_number(g) && number(g).is_none())
        {
            return None;
        }
        let settled = security.strict_groups && uid.is_some() && gid.flatten().is_some();
        let lookup = match &group {
            _ if settled => None,
            Some(group) => Some(format!("{name}:{group}")),
            None => Some(name.to_owned()),
        };
        Some(Self {
            name: name.to_owned(),
            uid: uid.unwrap_or(0),
            gid: gid.flatten().unwrap_or(0),
            has_group: group.is_some(),
            lookup,
        })
    }

    /// The groups that need no lookup; the main one is among them once it is known.
    fn additional(&self, groups: &[u32]) -> Vec<u32> {
        let mut all = groups.to_vec();
        if self.lookup.is_none() {
            all.push(self.gid);
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

#[cfg(test)]
#[path = "spec_test.rs"]
mod tests;
