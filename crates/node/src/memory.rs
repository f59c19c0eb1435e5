//! Where a Pod's memory on the host goes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

/// A part of a Pod on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Part {
    /// The guest's own memory, as far as the guest has touched it.
    Guest,
    /// The monitor, without the guest's memory.
    Monitor,
    /// The socket device.
    SocketDevice,
    /// The shim.
    Shim,
    /// Whatever else is in the Pod's cgroup.
    Other,
    /// What the cgroup counts besides: page cache and the kernel's own.
    Kernel,
}

impl Part {
    /// As JSON and metrics name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Monitor => "monitor",
            Self::SocketDevice => "socketDevice",
            Self::Shim => "shim",
            Self::Other => "other",
            Self::Kernel => "kernel",
        }
    }

    fn of_program(name: &str) -> Self {
        match name {
            "containerd-shim-skete-v2" => Self::Shim,
            "skete-vsock" => Self::SocketDevice,
            name if name.starts_with("qemu-system-") => Self::Monitor,
            _ => Self::Other,
        }
    }
}

/// Bytes by part of these processes. Pages that several share count for each in proportion, and
/// shared memory is the guest's: monitor and socket device have it mapped.
#[must_use]
pub fn parts(pids: &[i32]) -> BTreeMap<Part, u64> {
    let mut parts = BTreeMap::new();
    for pid in pids {
        let directory = Path::new("/proc").join(pid.to_string());
        // A process that has ended meanwhile has neither.
        let Ok(program) = fs::read_link(directory.join("exe")) else {
            continue;
        };
        let Ok(rollup) = fs::read_to_string(directory.join("smaps_rollup")) else {
            continue;
        };
        let (own, shared) = split(&rollup);
        *parts
            .entry(Part::of_program(&program_name(&program)))
            .or_default() += own;
        if shared > 0 {
            *parts.entry(Part::Guest).or_default() += shared;
        }
    }
    parts
}

/// The file's name; `(deleted)` follows that of a program which was replaced.
fn program_name(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(" (deleted)").to_owned()
}

/// Adds what the cgroup counts beyond its processes.
#[must_use]
pub fn with_rest(mut parts: BTreeMap<Part, u64>, total: u64) -> BTreeMap<Part, u64> {
    let known: u64 = parts.values().sum();
    if let Some(rest @ 1..) = total.checked_sub(known) {
        parts.insert(Part::Kernel, rest);
    }
    parts
}

/// Bytes of a process's own, and of shared memory, from `smaps_rollup` (`proc(5)`).
fn split(rollup: &str) -> (u64, u64) {
    let field = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0).saturating_mul(1024)
    };
    (field("Pss_Anon:") + field("Pss_File:"), field("Pss_Shmem:"))
}

#[cfg(test)]
#[path = "memory_test.rs"]
mod tests;
