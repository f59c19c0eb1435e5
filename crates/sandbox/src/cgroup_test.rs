use std::process::{Command, Stdio};

use super::*;

const V1_MOUNTS: &str = "\
tmpfs /sys/fs/cgroup tmpfs rw,mode=755 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
";

#[test]
fn v2_is_taken_where_it_has_the_memory_controller() {
    let found = find_hierarchies(V1_MOUNTS, |_| true);
    assert_eq!(
        found,
        Some(Hierarchies::V2("/sys/fs/cgroup/unified".into()))
    );
}

#[test]
fn v1_is_taken_where_v2_has_no_controllers_and_shared_mounts_are_found() {
    let Some(Hierarchies::V1(found)) = find_hierarchies(V1_MOUNTS, |_| false) else {
        panic!("no v1 hierarchy");
    };
    let names: Vec<_> = found.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["memory", "cpu", "cpuacct"]);
    assert_eq!(found[1].1, found[2].1);
}

#[test]
fn a_node_without_a_memory_controller_has_no_hierarchy() {
    assert_eq!(
        find_hierarchies("proc /proc proc rw 0 0\n", |_| false),
        None
    );
}

fn unique(name: &str) -> PodCgroup {
    PodCgroup::new(&format!("skete-test/{name}-{}", std::process::id())).unwrap()
}

/// Starts a shell that moves itself into `cgroup` before it runs `script`.
fn spawn_in(cgroup: &PodCgroup, script: &str) -> std::process::Child {
    let joins: String = cgroup
        .dirs()
        .iter()
        .map(|dir| format!("echo 0 > {}/cgroup.procs || exit 1; ", dir.display()))
        .collect();
    Command::new("sh")
        .args(["-c", &format!("{joins}{script}")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn the_least_of_the_limits_above_is_the_room() {
    let above = unique("room");
    let below = PodCgroup::new(&format!("{}/a/b", above.path())).unwrap();
    assert!(below.room_bytes().is_none_or(|bytes| bytes > 64 << 20));
    let limits = Limits {
        memory_bytes: 64 << 20,
        ..Limits::default()
    };
    above.create(&limits).unwrap();
    assert_eq!(below.room_bytes(), Some(64 << 20));
    above.remove().unwrap();
}

#[test]
fn kill_ends_every_process_and_remove_leaves_nothing() {
    let cgroup = unique("kill");
    cgroup
        .create(&Limits {
            pids: 50,
            ..Limits::default()
        })
        .unwrap();
    let mut shell = spawn_in(&cgroup, "sleep 600 & sleep 600 & wait");
    let deadline = Instant::now() + Duration::from_secs(10);
    while cgroup.processes().len() < 3 {
        assert!(Instant::now() < deadline, "{:?}", cgroup.processes());
        std::thread::sleep(Duration::from_millis(1));
    }
    // The shell is this test's child: it must be reaped for its cgroup to be empty.
    let reaper = std::thread::spawn(move || shell.wait());
    cgroup.kill().unwrap();
    reaper.join().unwrap().unwrap();
    cgroup.remove().unwrap();
    cgroup.remove().unwrap();
    assert!(cgroup.dirs().iter().all(|dir| !dir.exists()));
}

#[test]
fn a_process_cannot_use_more_memory_than_the_limit() {
    let cgroup = unique("memory");
    let limit = 32 << 20;
    cgroup
        .create(&Limits {
            memory_bytes: limit,
            ..Limits::default()
        })
        .unwrap();
    let mut hog = spawn_in(&cgroup, "head -c 200M /dev/zero | tail -c 200M");
    let status = hog.wait().unwrap();
    let usage = cgroup.usage();
    cgroup.remove().unwrap();
    assert!(
        !status.success(),
        "tail held 200 MiB within a limit of 32 MiB"
    );
    assert!(usage.memory_peak_bytes <= limit, "{usage:?}");
    assert!(usage.cpu_ns > 0, "{usage:?}");
}
