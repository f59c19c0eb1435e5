//! What a cgroup, or the whole guest, has used: cgroup v2's files, PSI, `/proc/net/dev`.

use std::fs;
use std::path::Path;

use protobuf::MessageField;
use skete_agent_api::agent::{Pressure, Usage};

use crate::boot::CGROUP_ROOT;

/// A container's usage.
pub(crate) fn of_cgroup(path: &Path) -> Usage {
    let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
    let mut usage = common(&read);
    let current = number(&read("memory.current"));
    usage.memory_bytes = current;
    let memory = read("memory.stat");
    usage.memory_working_set_bytes = working_set(current, &memory);
    usage.memory_anonymous_bytes = flat_value(&memory, "anon");
    usage.memory_file_bytes = flat_value(&memory, "file");
    usage.page_faults = flat_value(&memory, "pgfault");
    usage.major_page_faults = flat_value(&memory, "pgmajfault");
    usage.memory_peak_bytes = number(&read("memory.peak"));
    usage.memory_limit_bytes = number(&read("memory.max"));
    usage.oom_kills = flat_value(&read("memory.events"), "oom_kill");
    usage.pids = number(&read("pids.current"));
    usage.cpu_pressure = MessageField::some(pressure(&read("cpu.pressure")));
    usage.memory_pressure = MessageField::some(pressure(&read("memory.pressure")));
    usage.io_pressure = MessageField::some(pressure(&read("io.pressure")));
    usage
}

/// The guest's usage: the kernel's own and the agent's are in it.
pub(crate) fn of_guest() -> Usage {
    let root = Path::new(CGROUP_ROOT);
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    let proc = |name: &str| fs::read_to_string(Path::new("/proc").join(name)).unwrap_or_default();
    let mut usage = common(&read);
    let info = proc("meminfo");
    let total = meminfo(&info, "MemTotal");
    usage.memory_limit_bytes = total;
    usage.memory_bytes = total.saturating_sub(meminfo(&info, "MemFree"));
    usage.memory_working_set_bytes = total.saturating_sub(meminfo(&info, "MemAvailable"));
    usage.memory_anonymous_bytes = meminfo(&info, "AnonPages");
    usage.memory_file_bytes = meminfo(&info, "Cached");
    let counts = proc("vmstat");
    usage.page_faults = flat_value(&counts, "pgfault");
    usage.major_page_faults = flat_value(&counts, "pgmajfault");
    usage.oom_kills = flat_value(&counts, "oom_kill");
    usage.pids = tasks(&proc("loadavg"));
    usage.cpu_pressure = MessageField::some(pressure(&proc("pressure/cpu")));
    usage.memory_pressure = MessageField::some(pressure(&proc("pressure/memory")));
    usage.io_pressure = MessageField::some(pressure(&proc("pressure/io")));
    (usage.net_rx_bytes, usage.net_tx_bytes) = network(&proc("net/dev"));
    usage
}

/// This process's own memory, without the pages of its program.
pub(crate) fn of_agent() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    meminfo(&status, "RssAnon")
}

fn common(read: &dyn Fn(&str) -> String) -> Usage {
    let cpu = read("cpu.stat");
    let nanoseconds = |key| flat_value(&cpu, key).saturating_mul(1000);
    let io = read("io.stat");
    Usage {
        cpu_usage_ns: nanoseconds("usage_usec"),
        cpu_user_ns: nanoseconds("user_usec"),
        cpu_system_ns: nanoseconds("system_usec"),
        io_read_bytes: nested_sum(&io, "rbytes"),
        io_write_bytes: nested_sum(&io, "wbytes"),
        ..Usage::default()
    }
}

/// A file with one number; `max` is 0, as an absent limit is.
fn number(text: &str) -> u64 {
    text.trim_end().parse().unwrap_or(0)
}

/// A value of a file with one `key value` on each line; 0 if it is not there.
pub(crate) fn flat_value(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| {
            line.strip_prefix(key)?
                .strip_prefix(' ')?
                .trim()
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

/// The sum of a value over all devices of a file with `MAJ:MIN key=value …` lines.
fn nested_sum(text: &str, key: &str) -> u64 {
    text.split_ascii_whitespace()
        .filter_map(|word| {
            word.strip_prefix(key)?
                .strip_prefix('=')?
                .parse::<u64>()
                .ok()
        })
        .fold(0, u64::saturating_add)
}

/// What cannot be had back without reclaiming what is in use, as the kubelet reckons it.
fn working_set(current: u64, stat: &str) -> u64 {
    current.saturating_sub(flat_value(stat, "inactive_file"))
}

fn meminfo(text: &str, key: &str) -> u64 {
    let kib = text.lines().find_map(|line| {
        let value = line.strip_prefix(key)?.strip_prefix(':')?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    kib.unwrap_or(0).saturating_mul(1024)
}

/// How many tasks there are, of `/proc/loadavg`: `0.00 0.00 0.00 1/38 112`.
fn tasks(loadavg: &str) -> u64 {
    loadavg
        .split_ascii_whitespace()
        .nth(3)
        .and_then(|field| field.split_once('/')?.1.parse().ok())
        .unwrap_or(0)
}

/// The `total=` fields of a PSI file, microseconds.
fn pressure(text: &str) -> Pressure {
    let total = |kind: &str| {
        text.lines()
            .find(|line| line.starts_with(kind))
            .map_or(0, |line| nested_sum(line, "total"))
    };
    Pressure {
        some_us: total("some"),
        full_us: total("full"),
        ..Pressure::default()
    }
}

/// Bytes received and sent by all devices of `/proc/net/dev` but loopback.
fn network(text: &str) -> (u64, u64) {
    let mut sums = (0_u64, 0_u64);
    for line in text.lines() {
        let Some((name, values)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let values: Vec<u64> = values
            .split_ascii_whitespace()
            .filter_map(|value| value.parse().ok())
            .collect();
        sums.0 = sums.0.saturating_add(values.first().copied().unwrap_or(0));
        sums.1 = sums.1.saturating_add(values.get(8).copied().unwrap_or(0));
    }
    sums
}

#[cfg(test)]
#[path = "stats_test.rs"]
mod tests;
