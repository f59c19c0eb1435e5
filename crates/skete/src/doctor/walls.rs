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
        users_of_monitors(system),
        logs(paths),
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
/// what goes there; whether it does on this kernel is tried.
fn metadata_address() -> Row {
    let row = Row::new(
        "metadata address",
        "a Pod that reaches 169.254.169.254 has the machine's credentials",
    );
    match skete_network::probe() {
        Ok(()) => row.pass("what a guest sent there was dropped at its tap"),
        Err(error) => row.fail(
            crate::failure::chain(&error),
            "modprobe -a tun sch_ingress cls_bpf act_mirred",
        ),
    }
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

/// Whom monitors run as: those that run, and the next, which is started by this user.
fn users_of_monitors(system: &System) -> Row {
    let row = Row::new(
        "user of monitors",
        "a monitor that a guest has broken out into should be nobody, and not who others are",
    );
    let next = rustix::process::geteuid().as_raw();
    let mut users: Vec<u32> = running_monitors(system);
    let running = users.len();
    users.push(next);
    let value = format!("user {next} starts the next; {running} run now");
    let root = users.contains(&0);
    let before = users.len();
    users.sort_unstable();
    users.dedup();
    if root || users.len() < before {
        row.warn(
            format!("{value}, as user {}", join(&users)),
            "this version has no jail for QEMU: do not run tenants who are hostile to one another",
        )
    } else {
        row.pass(value)
    }
}

fn join(users: &[u32]) -> String {
    let users: Vec<_> = users.iter().map(ToString::to_string).collect();
    users.join(", ")
}

/// The users of this machine's monitors: QEMU is told to call its process after its Pod.
fn running_monitors(system: &System) -> Vec<u32> {
    let numbers = system.names("/proc").into_iter();
    let numbers = numbers.filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
    let statuses = numbers.filter_map(|pid| system.read(&format!("/proc/{pid}/status")));
    statuses
        .filter_map(|status| {
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
            let id = field("Name:")?.trim().strip_prefix("skete-")?;
            id.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
            field("Uid:")?.split_whitespace().nth(1)?.parse().ok()
        })
        .collect()
}

/// What the containers of Pods on record have written.
fn logs(paths: &Paths) -> Row {
    let row = Row::new(
        "logs",
        "a container that writes for ever must not fill the disk",
    );
    let most = crate::logs::MAX_CONTAINER_BYTES;
    let mut largest = 0;
    let mut total = 0;
    for id in crate::pods::ids(paths).unwrap_or_default() {
        let below =
            |dir: std::path::PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
        for container in below(paths.pod(&id).join("logs")) {
            let files = below(container.path()).filter_map(|file| file.metadata().ok());
            let bytes = files.map(|file| file.len()).sum();
            largest = largest.max(bytes);
            total += bytes;
        }
    }
    let value = format!(
        "{} in all, at most {} of one container",
        crate::output::bytes(total),
        crate::output::bytes(largest)
    );
    // What is being turned over is there twice for a moment.
    if largest <= most + most / 4 {
        row.pass(value)
    } else {
        row.warn(
            format!("{value}, and {} are the bound", crate::output::bytes(most)),
            format!(
                "remove that Pod; its files are below {}",
                paths.pods().display()
            ),
        )
    }
}
