//! What a Pod may use of the machine.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::support::{HELLO, Machine, below, eventually};

/// The directory of the hierarchy that counts memory, v1 or v2, of a Pod's cgroup.
fn memory_cgroup(id: &str) -> PathBuf {
    let v1 = Path::new("/sys/fs/cgroup/memory/skete").join(id);
    let v2 = Path::new("/sys/fs/cgroup/skete").join(id);
    if v1.exists() { v1 } else { v2 }
}

fn number(dir: &Path, v1: &str, v2: &str) -> u64 {
    let text = fs::read_to_string(dir.join(v1)).or_else(|_| fs::read_to_string(dir.join(v2)));
    text.unwrap().trim().parse().unwrap()
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_container_that_takes_too_much_memory_is_killed_in_the_guest_and_the_host_never_notices() {
    let machine = Machine::new();
    // 64 MiB for the container; what it takes grows until it is stopped.
    let script = "echo ready; read go; tail /dev/zero";
    let words = [
        "-m",
        "64m",
        "-i",
        "--name",
        "hog",
        "--network",
        "none",
        HELLO,
        "sh",
        "-c",
        script,
    ];
    let id = machine.detached(&words);
    let dir = memory_cgroup(&id);
    let limit = number(&dir, "memory.limit_in_bytes", "memory.max");
    assert!(limit < 1 << 30, "the Pod's cgroup may have {limit} bytes");

    // Everything of the Pod is in there, but the process that follows it.
    let inside = fs::read_to_string(dir.join("cgroup.procs")).unwrap();
    let inside: Vec<u32> = inside.lines().map(|pid| pid.parse().unwrap()).collect();
    let mut programs = Vec::new();
    for process in below(&machine.path("")) {
        let follower = process.command.contains(" supervise ");
        assert_eq!(inside.contains(&process.pid), !follower, "{process:?}");
        programs.push(process.program().to_owned());
    }
    programs.sort();
    assert_eq!(
        programs,
        [
            "containerd-shim-skete-v2",
            "qemu-system-x86_64",
            "skete",
            "skete-vsock"
        ]
    );

    let mut peak = 0;
    let mut go = machine.start(&["attach", "hog"]);
    let mut go = go
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(go.stdin.as_mut().unwrap(), b"go\n").unwrap();
    eventually("the hog's end", || {
        if dir.exists() {
            let file = ["memory.max_usage_in_bytes", "memory.peak"]
                .iter()
                .find_map(|name| fs::read_to_string(dir.join(name)).ok());
            let now = file.and_then(|text| text.trim().parse().ok());
            peak = peak.max(now.unwrap_or(0));
        }
        let record = machine.inspect("hog");
        (!record["end"].is_null()).then_some(())
    });
    go.wait().unwrap();
    let record = machine.inspect("hog");
    let end = &record["containers"][0]["terminated"];
    assert_eq!(end["exitCode"], 137, "{record}");
    assert_eq!(end["reason"], "OOMKilled", "{record}");
    assert_eq!(record["end"]["exitCode"], 137, "{record}");
    assert!(peak > 64 << 20, "the hog was never seen: {peak} bytes");
    assert!(peak <= limit, "{peak} of {limit} bytes");
}

/// The files below a directory, and how many bytes of the disk each takes.
fn files_below(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push((entry.path(), meta.blocks() * 512));
        }
    }
    files
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_container_that_fills_its_disk_sees_it_full_and_takes_no_more_of_the_hosts() {
    let machine = Machine::new();
    let script = "dd if=/dev/zero of=/full bs=64k 2>&1; \
                  rm /full && echo room > /again && cat /again; sleep 1000";
    let words = ["--ephemeral-storage", "32m", HELLO, "sh", "-c", script];
    machine.detached(&[&["--name", "full", "--network", "none"], &words[..]].concat());
    let said = eventually("the end of the writing", || {
        let said = machine.skete(&["logs", "full"]).out();
        said.ends_with("room\n").then_some(said)
    });
    assert!(said.contains("No space left on device"), "{said}");

    // It was full, and never more than its limit; of that, what was freed came back.
    let scratch: Vec<_> = files_below(&machine.path(""))
        .into_iter()
        .filter(|(path, _)| path.file_name().is_some_and(|name| name == "scratch.img"))
        .collect();
    let [(path, bytes)] = &scratch[..] else {
        panic!("one disk is wanted: {scratch:?}");
    };
    assert_eq!(fs::metadata(path).unwrap().len(), 32 << 20);
    assert!(*bytes <= 32 << 20, "{bytes} bytes on the host");
    machine.skete(&["rm", "-f", "full"]).exits(0);
}
