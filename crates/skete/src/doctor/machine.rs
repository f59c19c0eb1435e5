//! Rows about the machine: what runs the guests, and whether its limits are wide enough.

use skete_hypervisor::accelerator::{self, Accelerator};

use super::Row;
use super::kernel::System;
use crate::paths::{Paths, find_in_path};

/// Pods that a machine should be able to hold, for its limits: some for each GiB.
const PODS_PER_GIB: u64 = 4;
/// Open files of one Pod's processes on the host, generously.
const FILES_PER_POD: u64 = 256;
/// Threads of one Pod's processes on the host, generously.
const THREADS_PER_POD: u64 = 32;

/// `/dev/kvm`, tried and not assumed.
pub fn kvm(paths: &Paths) -> Row {
    let row = Row::new(
        "kvm",
        "without it guests are emulated: slow, and no security boundary",
    );
    let Some(qemu) = find_in_path("qemu-system-x86_64") else {
        return row.warn(
            "not tried: there is no qemu-system-x86_64",
            "apt install qemu-system-x86",
        );
    };
    let probe = accelerator::probe(&qemu, Some(&paths.run_root));
    match probe.accelerator {
        Accelerator::Kvm => row.pass(probe.reason),
        Accelerator::Emulation => row.warn(
            probe.reason,
            "use a machine whose processor's virtualization is enabled (and, if it is a VM \
             itself, nested virtualization), with kvm_intel or kvm_amd loaded",
        ),
    }
}

/// The others.
pub fn all(paths: &Paths, system: &System) -> Vec<Row> {
    vec![
        cgroups(system),
        memory(system),
        disk(paths),
        open_files(system),
        limit(
            system,
            "pid_max",
            "/proc/sys/kernel/pid_max",
            "kernel.pid_max",
            THREADS_PER_POD,
            "each Pod has a monitor, a shim and helpers, with their threads",
        ),
        limit(
            system,
            "max_map_count",
            "/proc/sys/vm/max_map_count",
            "vm.max_map_count",
            0,
            "a monitor maps its guest's memory in many pieces",
        ),
    ]
}

fn cgroups(system: &System) -> Row {
    let row = Row::new(
        "cgroups",
        "everything of a Pod on the host lives in one cgroup whose limit it cannot exceed",
    );
    let Some(controllers) = system.read("/sys/fs/cgroup/cgroup.controllers") else {
        return row.fail(
            "version 2 is not mounted on /sys/fs/cgroup",
            "boot with systemd.unified_cgroup_hierarchy=1, or: mount -t cgroup2 none \
             /sys/fs/cgroup",
        );
    };
    let missing: Vec<&str> = ["cpu", "memory", "pids"]
        .into_iter()
        .filter(|wanted| !controllers.split_whitespace().any(|c| c == *wanted))
        .collect();
    if missing.is_empty() {
        row.pass("version 2")
    } else {
        row.fail(
            format!("version 2 without {}", missing.join(", ")),
            "take cgroup_disable= out of the kernel's command line, and unmount the controllers \
             of version 1",
        )
    }
}

fn total_memory(system: &System) -> u64 {
    let info = system.read("/proc/meminfo").unwrap_or_default();
    field(&info, "MemTotal:")
}

/// A value of `/proc/meminfo`, in bytes.
fn field(info: &str, name: &str) -> u64 {
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0).saturating_mul(1024)
}

fn memory(system: &System) -> Row {
    let row = Row::new("memory", "a guest's memory is the host's");
    let info = system.read("/proc/meminfo").unwrap_or_default();
    let free = field(&info, "MemAvailable:");
    let value = format!(
        "{} of {} available",
        crate::output::bytes(free),
        crate::output::bytes(total_memory(system))
    );
    if free >= 768 << 20 {
        row.pass(value)
    } else {
        row.warn(
            value,
            "end something: a Pod has 512 MiB unless told otherwise",
        )
    }
}

fn disk(paths: &Paths) -> Row {
    let row = Row::new("disk space", "images and scratch disks are kept there");
    let mut directory = paths.root.as_path();
    while !directory.exists() {
        match directory.parent() {
            Some(parent) => directory = parent,
            None => break,
        }
    }
    let Ok(stat) = rustix::fs::statvfs(directory) else {
        return row.warn(
            format!("{} cannot be looked at", directory.display()),
            "run skete doctor as root",
        );
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let value = format!(
        "{} free for {}",
        crate::output::bytes(free),
        paths.root.display()
    );
    if free < 256 << 20 {
        row.fail(value, "free some; skete image prune removes unused images")
    } else if free < 4 << 30 {
        row.warn(value, "free some; skete image prune removes unused images")
    } else {
        row.pass(value)
    }
}

fn pods_wanted(system: &System) -> u64 {
    (total_memory(system) >> 30).max(1) * PODS_PER_GIB
}

fn open_files(system: &System) -> Row {
    let row = Row::new(
        "open files",
        "sockets, disks and taps of every Pod are open files",
    );
    let wanted = (pods_wanted(system) * FILES_PER_POD).max(65_536);
    let text = system.read("/proc/sys/fs/file-max").unwrap_or_default();
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let own = own.maximum.unwrap_or(u64::MAX);
    let most: u64 = text.parse().unwrap_or(u64::MAX);
    let value = format!("fs.file-max {text}, ulimit -Hn {own}");
    if most < wanted {
        return row.warn(value, format!("sysctl -w fs.file-max={wanted}"));
    }
    if own < 4096 {
        return row.warn(value, "raise nofile in /etc/security/limits.conf to 65536");
    }
    row.pass(value)
}

fn limit(
    system: &System,
    check: &'static str,
    path: &str,
    name: &str,
    per_pod: u64,
    why: &'static str,
) -> Row {
    let row = Row::new(check, why);
    let wanted = (pods_wanted(system) * per_pod).max(if per_pod == 0 { 65_530 } else { 32_768 });
    match system.read(path).and_then(|text| text.parse::<u64>().ok()) {
        None => row.pass("the kernel does not say"),
        Some(value) if value >= wanted => row.pass(value.to_string()),
        Some(value) => row.warn(value.to_string(), format!("sysctl -w {name}={wanted}")),
    }
}
