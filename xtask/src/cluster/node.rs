//! What a node needs of the machine: a network namespace with one interface, a cgroup, and the
//! kernel settings that the kubelet changes put back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::process::{POLL, Process};
use super::{Cluster, RUNS};
use crate::command::{Failure, output, run};

/// The node's address. Each cluster has it, in a network namespace of its own.
pub(crate) const ADDRESS: &str = "10.10.0.1";
/// How long the processes of a cgroup have to be gone after SIGKILL.
const KILL: Duration = Duration::from_secs(20);
/// What the kubelet sets when it starts.
const SETTINGS: &[&str] = &[
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
];

/// Makes the network namespace, if it is not there.
pub(crate) fn make_namespace(cluster: &Cluster) -> Result<(), Failure> {
    let node = cluster.node();
    if cluster.namespace().exists() {
        // The route is made last: without it, an earlier `up` was interrupted.
        let routes = output(Command::new("ip").args(["-n", &node, "route"]));
        if routes.is_some_and(|routes| routes.contains("default")) {
            return Ok(());
        }
        remove_namespace(cluster)?;
    }
    run(Command::new("ip").args(["netns", "add", &node]))?;
    let cidr = format!("{ADDRESS}/24");
    for step in [
        "link set lo up",
        // Both ends are here: the other one only makes this one's link come up, which a dummy
        // device would not need, but not every kernel has those.
        "link add eth0 type veth peer name eth0-peer",
        "link set eth0-peer up",
        &format!("addr add {cidr} dev eth0"),
        "link set eth0 up",
        "route add default dev eth0",
    ] {
        run(Command::new("ip").args(["-n", &node]).args(step.split(' ')))?;
    }
    Ok(())
}

/// Removes the network namespace, and with it its interfaces and packet filters.
pub(crate) fn remove_namespace(cluster: &Cluster) -> Result<(), Failure> {
    if cluster.namespace().exists() {
        run(Command::new("ip").args(["netns", "delete", &cluster.node()]))?;
    }
    Ok(())
}

/// The cgroup in which all of the cluster is, as a directory in each hierarchy of the machine.
fn cgroups(cluster: &Cluster) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    hierarchies(&mounts)
        .into_iter()
        .map(|root| root.join(cluster.node()))
        .collect()
}

/// Where cgroup file systems are mounted, in `/proc/self/mounts`.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let mut roots: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            let root = words.next()?;
            matches!(words.next()?, "cgroup" | "cgroup2").then(|| PathBuf::from(root))
        })
        .collect();
    roots.sort();
    roots.dedup();
    roots
}

/// Makes the cgroup, and one below it for the node's own programs: they are returned.
pub(crate) fn make_cgroup(cluster: &Cluster) -> Result<Vec<PathBuf>, Failure> {
    let mut leaves = Vec::new();
    for dir in cgroups(cluster) {
        let leaf = dir.join("node");
        // Version 2: what the kubelet needs in its cgroup must be handed down by the root.
        if let Some(root) = dir.parent() {
            let controllers =
                fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
            for controller in controllers.split_whitespace() {
                // The kubelet names one that it misses.
                let _ = fs::write(
                    root.join("cgroup.subtree_control"),
                    format!("+{controller}"),
                );
            }
        }
        fs::create_dir_all(&leaf).map_err(|error| Failure::io(leaf.display(), &error))?;
        // Version 1: a new cgroup has neither CPUs nor memory nodes, and so takes nobody.
        if dir.join("cgroup.clone_children").exists() {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                inherit(&dir, file)?;
                inherit(&leaf, file)?;
            }
        }
        leaves.push(leaf);
    }
    Ok(leaves)
}

/// Gives a cgroup what its parent has in `file`, if there is such a file.
fn inherit(dir: &Path, file: &str) -> Result<(), Failure> {
    let Some(value) = dir
        .parent()
        .and_then(|parent| fs::read_to_string(parent.join(file)).ok())
    else {
        return Ok(());
    };
    let path = dir.join(file);
    fs::write(&path, value.trim()).map_err(|error| Failure::io(path.display(), &error))
}

/// Kills all that is in the cgroup, and removes it.
pub(crate) fn remove_cgroup(cluster: &Cluster) -> Result<(), Failure> {
    let deadline = Instant::now() + KILL;
    let roots = cgroups(cluster);
    loop {
        let pids: Vec<i32> = roots.iter().flat_map(|root| processes(root)).collect();
        if pids.is_empty() {
            break;
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "these processes of the cluster do not end: {pids:?}; see /proc/PID/stack"
            )));
        }
        for process in pids.into_iter().filter_map(Process::of) {
            process.kill();
        }
        roots.iter().for_each(|root| thaw(root));
        sleep(POLL);
    }
    for root in roots {
        remove_tree(&root, deadline)?;
    }
    Ok(())
}

/// The processes in a cgroup and in those below it.
fn processes(dir: &Path) -> Vec<i32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    pids.extend(children(dir).iter().flat_map(|child| processes(child)));
    pids
}

/// Lets frozen processes go, in version 1: they would not even die.
fn thaw(dir: &Path) {
    let state = dir.join("freezer.state");
    if state.exists() {
        let _ = fs::write(state, "THAWED");
        children(dir).iter().for_each(|child| thaw(child));
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn remove_tree(dir: &Path, deadline: Instant) -> Result<(), Failure> {
    for child in children(dir) {
        remove_tree(&child, deadline)?;
    }
    while let Err(error) = fs::remove_dir(dir) {
        match error.kind() {
            std::io::ErrorKind::NotFound => break,
            // A dead process is counted in for a moment after it is reaped.
            std::io::ErrorKind::ResourceBusy if Instant::now() < deadline => sleep(POLL),
            _ => return Err(Failure::io(format!("remove {}", dir.display()), &error)),
        }
    }
    Ok(())
}

/// Notes the kernel's settings, unless another cluster runs: then they are noted already.
pub(crate) fn note_settings() -> Result<(), Failure> {
    let notes = settings_file();
    if notes.exists() {
        return Ok(());
    }
    let lines: String = SETTINGS
        .iter()
        .filter_map(|name| {
            let value = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
            Some(format!("{name} {}\n", value.trim()))
        })
        .collect();
    fs::write(&notes, lines).map_err(|error| Failure::io(notes.display(), &error))
}

/// Puts the kernel's settings back when the last cluster is gone.
pub(crate) fn restore_settings() -> Result<(), Failure> {
    let others = fs::read_dir(RUNS)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            entry.file_name().to_string_lossy().starts_with("skete-")
                && entry.path().join("pids").exists()
        });
    let notes = settings_file();
    let Ok(text) = fs::read_to_string(&notes) else {
        return Ok(());
    };
    if others {
        return Ok(());
    }
    for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
        let path = Path::new("/proc/sys").join(name);
        fs::write(&path, value).map_err(|error| Failure::io(path.display(), &error))?;
    }
    fs::remove_file(&notes).map_err(|error| Failure::io(notes.display(), &error))
}

fn settings_file() -> PathBuf {
    Path::new(RUNS).join("skete-cluster-settings")
}

/// Unmounts all that is mounted below `dir`, the latest first.
pub(crate) fn unmount_below(dir: &Path) -> Result<(), Failure> {
    let mounts = || {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        mounted_below(&text, dir)
    };
    for point in mounts().iter().rev() {
        // By turns: one that is in use goes when its user is gone, and is invisible until then.
        let umount = |flags: &[&str]| output(Command::new("umount").args(flags).arg(point));
        if umount(&["-q"]).is_none() {
            let _ = umount(&["-q", "-l"]);
        }
    }
    let left = mounts();
    if left.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "still mounted, unmount it by hand: {}",
        left.join(", ")
    )))
}

/// The mount points below `dir`, in the order of `/proc/self/mountinfo`.
fn mounted_below(mountinfo: &str, dir: &Path) -> Vec<String> {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .filter(|point| Path::new(point).starts_with(dir))
        .collect()
}

/// Undoes the kernel's octal escapes of blanks (`proc_pid_mountinfo(5)`).
fn unescape(point: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(point.to_owned(), |text, (escape, character)| {
        text.replace(escape, character)
    })
}

/// Gives back the loop devices whose file is below `dir`.
pub(crate) fn detach_loops(dir: &Path) -> Result<(), Failure> {
    let list = ["--noheadings", "--output", "NAME,BACK-FILE"];
    let devices = output(Command::new("losetup").args(list)).unwrap_or_default();
    for line in devices.lines() {
        if let Some((device, file)) = line.trim().split_once(' ')
            && Path::new(file.trim()).starts_with(dir)
        {
            run(Command::new("losetup").args(["--detach", device]))?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "node_test.rs"]
mod tests;
