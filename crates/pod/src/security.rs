//! Security contexts: what holds for a container once the Pod's and its own are put together.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// Every capability that Linux has, in the kernel's order.
const ALL: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// What containerd gives a container that asks for nothing, in its order.
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// The full name of a capability given with or without `CAP_`, or `ALL`.
pub(crate) fn capability(name: &str) -> Result<&'static str, String> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if short == "ALL" {
        return Ok("ALL");
    }
    let found = ALL
        .iter()
        .find(|full| full.strip_prefix("CAP_") == Some(short));
    found.copied().ok_or_else(|| {
        format!(
            "{name:?} is not a capability; NET_ADMIN and SYS_PTRACE are two, ALL is all of them"
        )
    })
}

/// Which system calls a container may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seccomp {
    RuntimeDefault,
    Unconfined,
}

/// What holds for one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Security {
    pub(crate) user: Option<u32>,
    pub(crate) group: Option<u32>,
    pub(crate) non_root: bool,
    /// `supplementalGroups` and `fsGroup`, sorted.
    pub(crate) groups: Vec<u32>,
    /// Groups of the image's `/etc/group` are not added.
    pub(crate) strict_groups: bool,
    pub(crate) privileged: bool,
    pub(crate) no_new_privileges: bool,
    pub(crate) read_only_root: bool,
    pub(crate) unmasked_proc: bool,
    pub(crate) seccomp: Seccomp,
    pub(crate) capabilities: Vec<&'static str>,
}

impl Security {
    pub(crate) fn of(spec: &PodSpec, container: &Container) -> Self {
        let pod = spec.security_context.clone().unwrap_or_default();
        let own = container.security_context.clone().unwrap_or_default();
        let id = |id: i64| u32::try_from(id).ok();
        let mut groups: BTreeSet<u32> = BTreeSet::new();
        groups.extend(
            pod.supplemental_groups
                .iter()
                .flatten()
                .copied()
                .filter_map(id),
        );
        groups.extend(pod.fs_group.and_then(id));
        let privileged = own.privileged.unwrap_or(false);
        let profile = own.seccomp_profile.or(pod.seccomp_profile);
        let unconfined = profile.is_some_and(|profile| profile.type_ == "Unconfined");
        let (add, drop) = match own.capabilities {
            Some(capabilities) => (
                capabilities.add.unwrap_or_default(),
                capabilities.drop.unwrap_or_default(),
            ),
            None => Default::default(),
        };
        Self {
            user: own.run_as_user.or(pod.run_as_user).and_then(id),
            group: own.run_as_group.or(pod.run_as_group).and_then(id),
            non_root: own.run_as_non_root.or(pod.run_as_non_root).unwrap_or(false),
            groups: groups.into_iter().collect(),
            strict_groups: pod.supplemental_groups_policy.as_deref() == Some("Strict"),
            privileged,
            no_new_privileges: own.allow_privilege_escalation == Some(false),
            read_only_root: own.read_only_root_filesystem.unwrap_or(false),
            unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
            seccomp: if unconfined || privileged {
                Seccomp::Unconfined
            } else {
                Seccomp::RuntimeDefault
            },
            capabilities: if privileged {
                ALL.to_vec()
            } else {
                capabilities(&add, &drop)
            },
        }
    }
}

/// The default set with `add` and without `drop`, as containerd's `WithCapabilities` has it: ALL
/// comes first, so that single ones can still be added or dropped.
fn capabilities(add: &[String], drop: &[String]) -> Vec<&'static str> {
    let named = |list: &[String]| -> Vec<&'static str> {
        list.iter()
            .filter_map(|name| capability(name).ok())
            .collect()
    };
    let (add, drop) = (named(add), named(drop));
    let mut set = if drop.contains(&"ALL") {
        Vec::new()
    } else if add.contains(&"ALL") {
        ALL.to_vec()
    } else {
        DEFAULT.to_vec()
    };
    for name in add {
        if name != "ALL" && !set.contains(&name) {
            set.push(name);
        }
    }
    set.retain(|name| !drop.contains(name));
    set
}

#[cfg(test)]
#[path = "security_test.rs"]
mod tests;
