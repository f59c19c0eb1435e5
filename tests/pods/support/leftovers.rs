//! What Pods leave behind, by name: each of these is a bug.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::process;

/// What there is of Pods that have ended, below `dir` and on the machine.
pub(crate) fn find(dir: &Path, netns: &str, ids: &BTreeSet<String>) -> Vec<String> {
    let mut left = Vec::new();
    for process in process::below(dir) {
        left.push(format!("process {}: {}", process.pid, process.command));
    }
    for id in ids {
        cgroups(id, &mut left);
        let name = format!("/run/netns/skete-{id}");
        if Path::new(&name).exists() {
            left.push(format!("network namespace {name}"));
        }
    }
    let dir_text = dir.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    left.extend(
        mounts
            .lines()
            .filter(|line| line.contains(&*dir_text) || ids.iter().any(|id| line.contains(id)))
            .map(|line| format!("mount {line}")),
    );
    for disk in names("/sys/block") {
        let backing = format!("/sys/block/{disk}/loop/backing_file");
        let file = fs::read_to_string(backing).unwrap_or_default();
        if file.contains(&*dir_text) {
            left.push(format!("loop device {disk} of {}", file.trim()));
        }
    }
    directories(dir, &mut left);
    network(netns, ids, &mut left);
    left
}

/// In every hierarchy, v1 or v2.
fn cgroups(id: &str, left: &mut Vec<String>) {
    let mut roots = vec!["/sys/fs/cgroup".to_owned()];
    roots.extend(
        names("/sys/fs/cgroup")
            .into_iter()
            .map(|name| format!("/sys/fs/cgroup/{name}")),
    );
    for root in roots {
        let path = format!("{root}/skete/{id}");
        if Path::new(&path).exists() {
            left.push(format!("cgroup {path}"));
        }
    }
}

/// Directories that only hold what is there of running Pods.
fn directories(dir: &Path, left: &mut Vec<String>) {
    let empty = [
        "u/pods",
        "u/sandboxes",
        "u/s",
        "u/network/pods",
        "r/sandboxes",
        "r/active",
        "r/images/leases",
    ];
    for name in empty {
        let path = dir.join(name);
        for entry in names(&path) {
            left.push(format!("{}", path.join(entry).display()));
        }
    }
    // Leases are named by their addresses.
    for network in names(dir.join("u/network/leases")) {
        let leases = dir.join("u/network/leases").join(network);
        for lease in names(&leases) {
            if lease != "lock" && !lease.starts_with("last_reserved_ip.") {
                left.push(format!("lease {}", leases.join(lease).display()));
            }
        }
    }
    for pod in names(dir.join("r/pods")) {
        let path = dir.join("r/pods").join(&pod);
        let half = pod.starts_with('.');
        let input = ["input.json", "volumes"].map(|name| path.join(name));
        if half || input.iter().any(|path| path.exists()) {
            left.push(format!("parts of a record in {}", path.display()));
        }
    }
}

/// Rules and links in the network namespace in which `skete` ran.
fn network(netns: &str, ids: &BTreeSet<String>, left: &mut Vec<String>) {
    let said = |program: &str, args: &[&str]| {
        let output = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{netns}"))
            .arg(program)
            .args(args)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for (program, args) in [
        ("iptables-save", &[][..]),
        ("ip6tables-save", &[][..]),
        ("nft", &["list", "ruleset"][..]),
    ] {
        let rules = said(program, args);
        for rule in rules.lines() {
            // What is made for one Pod names it, its address, or a chain of its own.
            let of_pod = ids.iter().any(|id| rule.contains(id.as_str()))
                || rule.contains("CNI-DN-")
                || rule.contains("10.83.0.") && !rule.contains("/16")
                || rule.contains("fd53:6b65:7465::") && !rule.contains("/64");
            if of_pod {
                left.push(format!("{program}: {}", rule.trim()));
            }
        }
    }
    for link in said("ip", &["-o", "link"]).lines() {
        if link.contains("master skete0") || link.contains("tap") {
            left.push(format!("link {link}"));
        }
    }
}

fn names(dir: impl AsRef<Path>) -> Vec<String> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
