//! Plans: everything about a Pod that is known before its network and its images are.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use skete_cri_api::runtime::PodSandboxConfig;
use skete_cri_api::{Quantity, Size, SizeError};
use thiserror::Error;

use crate::annotations;
use crate::env::{Addresses, Variable, variables};
use crate::manifest::Manifest;
use crate::resources::{self, QosClass};
use crate::sandbox::{self, HostName};
use crate::security::Security;
use crate::spec::MountPlan;
use crate::validate::Objects;
use crate::volumes::{self, EmptyDir, VolumePlan, VolumeSource};
use crate::{atomic, defaults};

/// Why a checked Pod cannot be planned.
#[derive(Debug, Error)]
pub enum PlanError {
    /// An annotation gives no size.
    #[error("metadata.annotations: the guest's size cannot be read")]
    Size(#[source] SizeError),
    /// Linux takes 64 characters.
    #[error("spec.setHostnameAsFQDN: {0:?} is longer than the 64 characters of a host name")]
    HostName(String),
    /// An emptyDir's settings could not be written down.
    #[error("spec.volumes: an emptyDir's settings cannot be written as JSON")]
    EmptyDir(#[source] serde_json::Error),
}

/// A file of a Pod that cannot be written.
#[derive(Debug, Error)]
#[error("cannot write {}", path.display())]
pub struct WriteError {
    /// The file or volume.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// What a plan needs to know about the machine.
#[derive(Debug, Clone, Copy)]
pub struct PodContext<'a> {
    /// The Pod's uid; [`new_uid`](crate::new_uid) makes one. One that the Pod brings is not used.
    pub uid: &'a str,
    /// Holds a directory for each Pod, by uid, in the kubelet's layout.
    pub pods_dir: &'a Path,
    /// Holds the sandbox's `hostname` and `resolv.conf`, as containerd has it.
    pub sandbox_dir: &'a Path,
    /// Where the containers' logs go.
    pub log_dir: &'a Path,
    /// The Pod's cgroup on the host, in cgroupfs syntax.
    pub cgroup_parent: &'a str,
    /// What `spec.nodeName` is to the Pod.
    pub node_name: &'a str,
    /// Text of the machine's `resolv.conf`.
    pub resolv_conf: &'a str,
}

/// What to do when a container ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartPolicy {
    /// Start it again.
    Always,
    /// Start it again if it failed.
    OnFailure,
    /// Leave it.
    Never,
}

/// When to ask the registry for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    /// Before every start.
    Always,
    /// When the image is not in the store.
    IfNotPresent,
    /// Not at all: an image that is not in the store is an error.
    Never,
}

/// What part a container has in its Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// Starts among the init containers, runs beside the main ones, is started again whenever it
    /// ends, and does not keep the Pod alive.
    Sidecar,
    /// Runs once all init containers are through.
    Main,
}

/// A Pod, ready to be run.
#[derive(Debug, Clone)]
pub struct PodPlan {
    /// Goes into `CreateSandboxRequest.options` as it is.
    pub sandbox: PodSandboxConfig,
    /// The guest's size; [`Size::of_sandbox`] of `sandbox` gives the same.
    pub size: Size,
    /// Init containers and sidecars, in the order in which they start.
    pub init: Vec<ContainerPlan>,
    /// The main containers; at least one.
    pub containers: Vec<ContainerPlan>,
    /// All volumes.
    pub volumes: Vec<VolumePlan>,
    /// For the main containers and the init containers.
    pub restart_policy: RestartPolicy,
    /// Between the request to end and the kill.
    pub grace_period: Duration,
    /// How long the Pod may run in all.
    pub active_deadline: Option<Duration>,
    /// The Pod's quality-of-service class.
    pub qos: QosClass,
    /// Bytes that the containers may write in all: the sum of the `ephemeral-storage` limits.
    /// `None` if a container has none.
    pub ephemeral_storage: Option<u64>,
    /// The network to join, from [`annotations::NETWORK`].
    pub network: Option<String>,
    spec: PodSpec,
    host_name: HostName,
    shared: Arc<Shared>,
}

/// What the containers of a Pod have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) hostname: String,
    pub(crate) cgroup_parent: String,
    pub(crate) share_processes: bool,
    pub(crate) pod_dir: PathBuf,
    pub(crate) sandbox_dir: PathBuf,
}

impl PodPlan {
    /// How much of a resource (`cpu`, `memory`, …) the Pod asks for in all, by the scheduler's rule;
    /// `None` if no container says.
    #[must_use]
    pub fn request(&self, resource: &str) -> Option<Quantity> {
        resources::total(&self.spec, resources::Bound::Request, resource)
    }
}

impl Shared {
    pub(crate) fn hosts_path(&self) -> PathBuf {
        self.pod_dir.join("etc-hosts")
    }

    pub(crate) fn hostname_path(&self) -> PathBuf {
        self.sandbox_dir.join("hostname")
    }

    pub(crate) fn resolv_conf_path(&self) -> PathBuf {
        self.sandbox_dir.join("resolv.conf")
    }
}

/// A container, ready to be run once its image is there.
#[derive(Debug, Clone)]
pub struct ContainerPlan {
    /// Its name in the Pod.
    pub name: String,
    /// Its image, as the Pod names it.
    pub image: String,
    /// When to pull that.
    pub pull_policy: PullPolicy,
    /// Its part in the Pod.
    pub role: Role,
    /// It gets a terminal.
    pub tty: bool,
    /// Its standard input stays open.
    pub stdin: bool,
    /// Its standard input closes when the first client detaches.
    pub stdin_once: bool,
    /// Bytes that it may write into its root file system.
    pub ephemeral_storage: Option<u64>,
    pub(crate) working_dir: Option<String>,
    pub(crate) command: Option<Vec<String>>,
    pub(crate) args: Vec<String>,
    pub(crate) variables: Vec<Variable>,
    /// From the Pod's annotation.
    pub(crate) named_user: Option<String>,
    pub(crate) security: Security,
    pub(crate) resources: skete_cri_api::runtime::LinuxContainerResources,
    pub(crate) mounts: Vec<MountPlan>,
    pub(crate) shared: Arc<Shared>,
}

/// Plans a Pod: what the kubelet works out before it calls the runtime.
///
/// # Errors
/// [`PlanError`], if annotations or names do not fit.
pub fn plan(manifest: &Manifest, context: &PodContext<'_>) -> Result<PodPlan, PlanError> {
    let mut pod = manifest.pod.clone();
    pod.metadata.uid = Some(context.uid.to_owned());
    let mut spec = pod.spec.take().unwrap_or_default();
    spec.node_name
        .get_or_insert_with(|| context.node_name.to_owned());
    pod.spec = Some(spec.clone());

    let host_name = sandbox::host_name(&pod, &spec).map_err(PlanError::HostName)?;
    let dns = sandbox::dns(&spec, context.resolv_conf);
    let log_dir = context.log_dir.to_string_lossy();
    let mut sandbox = sandbox::config(
        &pod,
        &spec,
        &host_name,
        dns,
        context.cgroup_parent,
        &log_dir,
    );
    let size = settle_size(&spec, &mut sandbox).map_err(PlanError::Size)?;
    let objects = Objects {
        config_maps: &manifest.config_maps,
        secrets: &manifest.secrets,
    };
    let volumes = volumes::plan(&pod, &objects, size);
    for volume in &volumes {
        if let VolumeSource::EmptyDir(empty_dir) = volume.source
            && empty_dir != EmptyDir::default()
        {
            let key = format!("{}{}", annotations::EMPTY_DIR_PREFIX, volume.name);
            let json = serde_json::to_string(&empty_dir).map_err(PlanError::EmptyDir)?;
            sandbox.annotations.insert(key, json);
        }
    }
    let shared = Arc::new(Shared {
        uid: context.uid.to_owned(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        hostname: host_name.kernel.clone(),
        cgroup_parent: context.cgroup_parent.to_owned(),
        share_processes: spec.share_process_namespace == Some(true),
        pod_dir: context.pods_dir.join(context.uid),
        sandbox_dir: context.sandbox_dir.to_owned(),
    });
    let container = |c: &Container, role| {
        let annotation = format!("{}{}", annotations::USER_PREFIX, c.name);
        let annotations = pod.metadata.annotations.as_ref();
        let named_user = annotations.and_then(|a| a.get(&annotation)).cloned();
        let memory_mib = size.memory_mib;
        ContainerPlan {
            name: c.name.clone(),
            image: c.image.clone().unwrap_or_default(),
            pull_policy: pull_policy(c),
            role,
            tty: c.tty.unwrap_or(false),
            stdin: c.stdin.unwrap_or(false),
            stdin_once: c.stdin_once.unwrap_or(false),
            ephemeral_storage: ephemeral_storage(c),
            working_dir: c.working_dir.clone().filter(|dir| !dir.is_empty()),
            command: c.command.clone().filter(|command| !command.is_empty()),
            args: c.args.clone().unwrap_or_default(),
            variables: variables(&pod, c, &objects, size),
            named_user,
            security: Security::of(&spec, c),
            resources: resources::container_resources(&spec, c, memory_mib),
            mounts: MountPlan::of(c, &volumes, &shared.pod_dir),
            shared: Arc::clone(&shared),
        }
    };
    let init = spec.init_containers.iter().flatten().map(|c| {
        let sidecar = c.restart_policy.as_deref() == Some("Always");
        container(c, if sidecar { Role::Sidecar } else { Role::Init })
    });
    let init: Vec<_> = init.collect();
    let containers: Vec<_> = spec
        .containers
        .iter()
        .map(|c| container(c, Role::Main))
        .collect();
    let all = init.iter().chain(&containers);
    let ephemeral_storage: Option<u64> = all.map(|c| c.ephemeral_storage).sum();
    if let Some(bytes) = ephemeral_storage {
        let key = annotations::EPHEMERAL_STORAGE.to_owned();
        sandbox.annotations.entry(key).or_insert(bytes.to_string());
    }
    let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let network = sandbox.annotations.get(annotations::NETWORK).cloned();
    Ok(PodPlan {
        size,
        init,
        containers,
        volumes,
        restart_policy: match spec.restart_policy.as_deref() {
            Some("Always") => RestartPolicy::Always,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Never,
        },
        grace_period: seconds(
            spec.termination_grace_period_seconds
                .unwrap_or(defaults::GRACE_SECONDS),
        ),
        active_deadline: spec.active_deadline_seconds.map(seconds),
        qos: resources::qos(&spec),
        ephemeral_storage,
        network,
        sandbox,
        spec,
        host_name,
        shared,
    })
}

/// Decides on the size, and says it by annotations where the sandbox's resources say another.
pub(crate) fn settle_size(
    spec: &PodSpec,
    sandbox: &mut PodSandboxConfig,
) -> Result<Size, SizeError> {
    let said = Size::of_sandbox(sandbox)?;
    let by_limits = resources::size(spec);
    let annotations = &mut sandbox.annotations;
    let mut size = said;
    if !annotations.contains_key(annotations::VCPUS) {
        size.vcpus = by_limits.vcpus;
    }
    if !annotations.contains_key(annotations::MEMORY) {
        size.memory_mib = by_limits.memory_mib;
    }
    if size.vcpus != said.vcpus {
        annotations.insert(annotations::VCPUS.to_owned(), size.vcpus.to_string());
    }
    if size.memory_mib != said.memory_mib {
        let text = format!("{}Mi", size.memory_mib);
        annotations.insert(annotations::MEMORY.to_owned(), text);
    }
    Ok(size)
}

fn pull_policy(container: &Container) -> PullPolicy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        _ => PullPolicy::IfNotPresent,
    }
}

pub(crate) fn ephemeral_storage(container: &Container) -> Option<u64> {
    let limits = container.resources.as_ref()?.limits.as_ref();
    let limit: Quantity = resources::amount(limits, "ephemeral-storage")?;
    u64::try_from(limit.ceil()).ok()
}

impl PodPlan {
    /// The Pod's directory in the kubelet's layout.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.pod_dir
    }

    /// Every container: init containers and sidecars first.
    pub fn all_containers(&self) -> impl Iterator<Item = &ContainerPlan> {
        self.init.iter().chain(&self.containers)
    }

    /// Writes the Pod's volumes to the host; may be called again with a newer plan to bring files
    /// up to date, each volume at once. Nobody but the owner can enter the Pod's directory.
    ///
    /// # Errors
    /// [`WriteError`] names the volume.
    pub fn write_volumes(&self) -> Result<(), WriteError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| WriteError { path, source }
        };
        let pod_dir = self.dir();
        if let Some(pods_dir) = pod_dir.parent() {
            std::fs::create_dir_all(pods_dir).map_err(at(pods_dir))?;
        }
        atomic::make_dir(pod_dir, 0o700).map_err(at(pod_dir))?;
        let security = self.spec.security_context.as_ref();
        let group = security.and_then(|s| s.fs_group);
        let group = group.and_then(|group| u32::try_from(group).ok());
        for volume in &self.volumes {
            let dir = volume.dir(pod_dir);
            if let Some(plugin) = dir.parent() {
                std::fs::create_dir_all(plugin).map_err(at(plugin))?;
            }
            match &volume.source {
                VolumeSource::Files(files) => {
                    atomic::write(&dir, &files.files, group).map_err(at(&dir))?;
                }
                VolumeSource::EmptyDir(_) => {
                    atomic::make_empty_dir(&dir, group).map_err(at(&dir))?;
                }
            }
        }
        Ok(())
    }

    /// Writes `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of the Pod's containers, once
    /// its addresses are known.
    ///
    /// # Errors
    /// [`WriteError`] names the file.
    pub fn write_etc_files(&self, addresses: &Addresses<'_>) -> Result<(), WriteError> {
        let dns = skete_cri_api::resolv_conf(&self.sandbox.dns_config);
        let hosts = sandbox::hosts(&self.spec, &self.host_name, addresses.pod);
        let files = [
            (self.shared.hosts_path(), hosts),
            (
                self.shared.hostname_path(),
                format!("{}\n", self.shared.hostname),
            ),
            (self.shared.resolv_conf_path(), dns),
        ];
        for (path, text) in files {
            let written = match path.parent() {
                Some(dir) => std::fs::create_dir_all(dir),
                None => Ok(()),
            };
            written
                .and_then(|()| std::fs::write(&path, text))
                .map_err(|source| WriteError { path, source })?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "plan_test.rs"]
pub(crate) mod tests;
