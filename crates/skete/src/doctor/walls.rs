//! Rows about the walls around guests on this machine.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Row;
use super::kernel::System;
use crate::paths::Paths;

/// All of them.
pub fn all(paths: &Paths, system: &System) -> Vec<Row> {
    vec![
        forwarding(system),
        metadata_address(),
        writable(paths),
        core_dumps(system),
        own_user(),
        logs(),
    ]
}

fn forwarding(system: &System) -> Row {
    let row = Row::new("ip forwarding", "without it Pods do not reach the outside");
    match system.read("/proc/sys/net/ipv4/ip_forward").as_deref() {
        Some("1") => row.pass("on"),
        _ => row.warn(
            "off now; the bridge plugin turns it on with the first Pod",
            "sysctl -w net.ipv4.ip_forward=1",
        ),
    }
}

/// The cloud's address at which a machine's credentials are had. A filter at each Pod's tap drops
/// it; on a machine that has such an address, it is told.
fn metadata_address() -> Row {
    Row::new(
        "metadata address",
        "a Pod that reaches 169.254.169.254 has the machine's credentials",
    )
    .pass("dropped at every Pod's tap")
}

/// Directories that others may write are a way in.
fn writable(paths: &Paths) -> Row {
    let row = Row::new(
        "directories",
        "who can write there can change what Pods run",
    );
    let mut open = Vec::new();
    for directory in [&paths.root, &paths.run_root] {
        let mut at: &Path = directory;
        loop {
            if let Ok(metadata) = std::fs::metadata(at) {
                let sticky = metadata.mode() & 0o1000 != 0;
                let foreign = metadata.uid() != 0;
                if (metadata.mode() & 0o022 != 0 && !sticky) || foreign {
                    open.push(at.display().to_string());
                }
            }
            match at.parent() {
                Some(parent) => at = parent,
                None => break,
            }
        }
    }
    open.sort();
    open.dedup();
    if open.is_empty() {
        row.pass("only root writes")
    } else {
        row.fail(
            format!("others can write: {}", open.join(", ")),
            format!("chown root and chmod go-w {}", open.join(" ")),
        )
    }
}

fn core_dumps(system: &System) -> Row {
    let row = Row::new(
        "core dumps",
        "a monitor's core dump would have its guest's memory in it",
    );
    let pattern = system
        .read("/proc/sys/kernel/core_pattern")
        .unwrap_or_default();
    // The monitor keeps guest memory out of them by MADV_DONTDUMP; a pipe still sees the rest.
    if pattern.is_empty() || pattern.starts_with('|') || pattern == "core" {
        row.pass(format!(
            "core_pattern {pattern:?}; guest memory is marked not to be dumped"
        ))
    } else {
        row.warn(
            format!("core_pattern {pattern:?}"),
            "sysctl -w kernel.core_pattern='|/bin/false'",
        )
    }
}

fn own_user() -> Row {
    Row::new(
        "user of monitors",
        "a monitor that a guest has broken out into should be nobody",
    )
    .warn(
        "monitors run as root, all as the same user",
        "this version has no jail for QEMU: do not run tenants who are hostile to one another",
    )
}

fn logs() -> Row {
    Row::new(
        "logs",
        "a container that writes for ever must not fill the disk",
    )
    .pass(format!(
        "two files of {} for each container",
        crate::output::bytes(crate::logs::MAX_FILE_BYTES)
    ))
}
