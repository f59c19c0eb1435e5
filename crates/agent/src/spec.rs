//! Fits the engine's OCI specification to this guest.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType, MountBuilder, Process, RootBuilder,
    Spec,
};

use serde::Deserialize;

use crate::failure::{Failure, Kind};

/// What in a specification cannot be honoured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpecError {
    /// Not JSON, or not of this form.
    #[error("the container's specification cannot be read")]
    Parse(#[source] serde_json::Error),
    /// A part that a container cannot be without.
    #[error("the container's specification has no `{0}`")]
    Missing(&'static str),
    /// A user namespace of somebody else.
    #[error("a user namespace cannot be joined by its path")]
    UserNamespacePath,
    /// The pieces do not fit together.
    #[error("the container's specification cannot be fitted to the guest")]
    Build(#[source] oci_spec::OciSpecError),
}

impl From<SpecError> for Failure {
    fn from(error: SpecError) -> Self {
        Self::of(Kind::InvalidArgument, &error)
    }
}

/// Reads a specification.
pub(crate) fn parse(json: &str) -> Result<Spec, SpecError> {
    serde_json::from_str(json).map_err(SpecError::Parse)
}

/// Reads a process, as an exec has it.
pub(crate) fn parse_process(json: &str) -> Result<Process, SpecError> {
    let mut process: Process = serde_json::from_str(json).map_err(SpecError::Parse)?;
    adapt_process(&mut process);
    Ok(process)
}

/// What of a process is not of this guest's.
fn adapt_process(process: &mut Process) {
    process.set_apparmor_profile(None);
    process.set_selinux_label(None);
    // libcontainer tells `false` from absent, and would load seccomp when it may no longer.
    if process.no_new_privileges() == Some(false) {
        process.set_no_new_privileges(None);
    }
}

/// Sets what only the guest knows and drops what belongs to the host.
///
/// `pid_namespace` is the shared one, to be joined instead of making one.
pub(crate) fn adapt(
    spec: &mut Spec,
    id: &str,
    root: &Path,
    terminal: bool,
    pid_namespace: Option<PathBuf>,
) -> Result<(), SpecError> {
    let read_only = spec
        .root()
        .as_ref()
        .and_then(|root| root.readonly())
        .unwrap_or(false);
    let new_root = RootBuilder::default()
        .path(root)
        .readonly(read_only)
        .build();
    spec.set_root(Some(new_root.map_err(SpecError::Build)?));
    // Hooks are programs of the host.
    spec.set_hooks(None);
    let mut process = spec
        .process()
        .clone()
        .ok_or(SpecError::Missing("process"))?;
    adapt_process(&mut process);
    process.set_terminal(Some(terminal));
    spec.set_process(Some(process));
    let mut linux = spec.linux().clone().ok_or(SpecError::Missing("linux"))?;
    linux.set_cgroups_path(Some(PathBuf::from(format!("/skete/{id}"))));
    linux.set_mount_label(None);
    linux.set_intel_rdt(None);
    let given = linux.namespaces().clone().unwrap_or_default();
    let list = namespaces(given, pid_namespace)?;
    let has = |kind| list.iter().any(|namespace| namespace.typ() == kind);
    // The name of the Pod is the guest's.
    if !has(LinuxNamespaceType::Uts) {
        spec.set_hostname(None);
        spec.set_domainname(None);
    }
    if has(LinuxNamespaceType::User) && !has(LinuxNamespaceType::Network) {
        bind_sysfs(spec)?;
    }
    linux.set_namespaces(Some(list));
    spec.set_linux(Some(linux));
    Ok(())
}

/// Only who owns the network namespace can mount sysfs anew, and root of a user namespace does
/// not own the guest's.
fn bind_sysfs(spec: &mut Spec) -> Result<(), SpecError> {
    let Some(mounts) = spec.mounts() else {
        return Ok(());
    };
    let mut list = Vec::with_capacity(mounts.len());
    for mount in mounts {
        if mount.typ().as_deref() != Some("sysfs") {
            list.push(mount.clone());
            continue;
        }
        let mut options = mount.options().clone().unwrap_or_default();
        options.push("rbind".to_owned());
        let bind = MountBuilder::default()
            .destination(mount.destination())
            .typ("bind")
            .source("/sys")
            .options(options)
            .build()
            .map_err(SpecError::Build)?;
        list.push(bind);
    }
    spec.set_mounts(Some(list));
    Ok(())
}

/// A Pod's shared namespaces are the guest's own, so those given by a path are not made. Mounts
/// and process ids never are the agent's; nor are cgroups, of which a host with cgroup v1 says
/// nothing: a container sees its own limits at `/sys/fs/cgroup`.
fn namespaces(
    given: Vec<LinuxNamespace>,
    pid_namespace: Option<PathBuf>,
) -> Result<Vec<LinuxNamespace>, SpecError> {
    let fresh = |kind| {
        LinuxNamespaceBuilder::default()
            .typ(kind)
            .build()
            .map_err(SpecError::Build)
    };
    let mut pid = LinuxNamespaceBuilder::default().typ(LinuxNamespaceType::Pid);
    if let Some(path) = pid_namespace {
        pid = pid.path(path);
    }
    let mut list = vec![
        pid.build().map_err(SpecError::Build)?,
        fresh(LinuxNamespaceType::Mount)?,
        fresh(LinuxNamespaceType::Cgroup)?,
    ];
    for namespace in given {
        match (namespace.typ(), namespace.path().is_some()) {
            (
                LinuxNamespaceType::Pid | LinuxNamespaceType::Mount | LinuxNamespaceType::Cgroup,
                _,
            ) => {}
            (LinuxNamespaceType::User, true) => return Err(SpecError::UserNamespacePath),
            (_, true) => {}
            (kind, false) => list.push(fresh(kind)?),
        }
    }
    Ok(list)
}

#[derive(Deserialize)]
struct NamespacesOnly {
    linux: Option<LinuxOnly>,
}

#[derive(Deserialize)]
struct LinuxOnly {
    #[serde(default)]
    namespaces: Vec<NamespaceOnly>,
}

#[derive(Deserialize)]
struct NamespaceOnly {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    path: String,
}

/// Whether a container is to be in the process-id namespace that the Pod's containers share:
/// its specification names one by its path, or makes none. PID 1 asks this and reads no more of
/// the specification, which is large.
pub(crate) fn shares_pids(json: &[u8]) -> Result<bool, SpecError> {
    let spec: NamespacesOnly = serde_json::from_slice(json).map_err(SpecError::Parse)?;
    let list = spec.linux.map(|linux| linux.namespaces).unwrap_or_default();
    Ok(!list
        .iter()
        .any(|namespace| namespace.kind == "pid" && namespace.path.is_empty()))
}

#[cfg(test)]
#[path = "spec_test.rs"]
mod tests;
