use super::*;

#[test]
fn a_cgroups_files_become_its_usage() {
    let cgroup = tempfile::tempdir().unwrap();
    for (name, text) in [
        (
            "cpu.stat",
            "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 0\n",
        ),
        ("memory.current", "1000000\n"),
        ("memory.peak", "2000000\n"),
        ("memory.max", "max\n"),
        ("memory.stat", "anon 500000\ninactive_file 300000\n"),
        (
            "memory.events",
            "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n",
        ),
        ("pids.current", "5\n"),
        (
            "io.stat",
            "254:0 rbytes=4096 wbytes=512 rios=1 wios=1\n254:16 rbytes=100 wbytes=0 rios=1 wios=0\n",
        ),
        (
            "cpu.pressure",
            "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
        ),
    ] {
        fs::write(cgroup.path().join(name), text).unwrap();
    }
    let usage = of_cgroup(cgroup.path());
    assert_eq!(usage.cpu_usage_ns, 1_500_000);
    assert_eq!(usage.cpu_system_ns, 500_000);
    assert_eq!(usage.memory_bytes, 1_000_000);
    assert_eq!(usage.memory_working_set_bytes, 700_000);
    assert_eq!(usage.memory_limit_bytes, 0);
    assert_eq!(usage.oom_kills, 2);
    assert_eq!(usage.pids, 5);
    assert_eq!((usage.io_read_bytes, usage.io_write_bytes), (4196, 512));
    assert_eq!(usage.cpu_pressure.some_us, 77);
    assert_eq!(usage.cpu_pressure.full_us, 7);
}

#[test]
fn files_that_are_not_there_count_as_nothing() {
    let usage = of_cgroup(Path::new("/nonexistent"));
    assert_eq!(usage.cpu_usage_ns, 0);
    assert_eq!(usage.memory_pressure.some_us, 0);
}

#[test]
fn a_key_is_not_taken_for_a_longer_one() {
    assert_eq!(
        flat_value("oom_kill_disable 9\noom_kill 2\n", "oom_kill"),
        2
    );
}

#[test]
fn loopback_is_not_counted() {
    let text = "Inter-|   Receive | Transmit\n face |bytes packets|bytes\n    lo: 900 1 0 0 0 0 0 0 900 1 0 0 0 0 0 0\n  eth0: 100 1 0 0 0 0 0 0 50 1 0 0 0 0 0 0\n";
    assert_eq!(network(text), (100, 50));
}

#[test]
fn the_guests_own_files_are_understood() {
    assert_eq!(tasks("0.00 0.01 0.05 1/38 112\n"), 38);
    assert_eq!(
        meminfo("MemTotal:  100 kB\nMemFree:  7 kB\n", "MemFree"),
        7168
    );
}
