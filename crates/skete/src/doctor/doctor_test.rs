use super::kernel::System;
use super::*;

fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("{text}\n")).unwrap();
    }
    let system = System::at(root.path());
    (root, system)
}

fn verdict(rows: &[Row], check: &str) -> Verdict {
    let row = rows.iter().find(|row| row.check == check);
    row.unwrap_or_else(|| panic!("no row {check}")).verdict
}

#[test]
fn a_hardened_machine_passes() {
    let (_root, system) = system(&[
        ("sys/devices/system/cpu/smt/active", "0"),
        (
            "sys/devices/system/cpu/vulnerabilities/mds",
            "Mitigation: Clear CPU buffers; SMT disabled",
        ),
        (
            "sys/devices/system/cpu/vulnerabilities/l1tf",
            "Not affected",
        ),
        ("proc/cmdline", "root=/dev/vda ro quiet"),
        ("sys/module/kvm_intel/parameters/ept", "Y"),
        ("sys/module/kvm_intel/parameters/nested", "N"),
        ("sys/kernel/mm/ksm/run", "0"),
        ("proc/swaps", "Filename Type Size Used Priority"),
    ]);

    let rows = kernel::all(&system);

    assert_eq!(worst(&rows), Verdict::Pass, "{rows:#?}");
}

#[test]
fn an_open_machine_is_told_of_each_hole_and_its_fix() {
    let (_root, system) = system(&[
        ("sys/devices/system/cpu/smt/active", "1"),
        (
            "sys/devices/system/cpu/vulnerabilities/mds",
            "Vulnerable: no microcode",
        ),
        (
            "sys/devices/system/cpu/vulnerabilities/l1tf",
            "Mitigation: PTE Inversion; VMX: vulnerable",
        ),
        ("proc/cmdline", "root=/dev/vda mitigations=off"),
        ("sys/module/kvm_amd/parameters/npt", "0"),
        ("sys/module/kvm_amd/parameters/nested", "1"),
        ("sys/kernel/mm/ksm/run", "1"),
        (
            "proc/swaps",
            "Filename Type Size Used Priority\n/dev/vda2 partition 1 0 -2",
        ),
    ]);

    let rows = kernel::all(&system);

    assert_eq!(worst(&rows), Verdict::Fail);
    for (check, wanted) in [
        ("smt", Verdict::Warn),
        ("cpu vulnerabilities", Verdict::Warn),
        ("mitigations", Verdict::Fail),
        ("l1tf", Verdict::Warn),
        ("ept/npt", Verdict::Fail),
        ("nested", Verdict::Warn),
        ("ksm", Verdict::Fail),
        ("swap", Verdict::Warn),
    ] {
        assert_eq!(verdict(&rows, check), wanted, "{check}");
    }
    for row in rows.iter().filter(|row| row.verdict != Verdict::Pass) {
        assert!(!row.fix.is_empty() && !row.why.is_empty(), "{row:?}");
    }
}

#[test]
fn swap_on_a_crypt_device_or_in_memory_is_no_hole() {
    let (_root, system) = system(&[
        (
            "proc/swaps",
            "Filename Type Size Used Priority\n/dev/dm-0 partition 1 0 -2\n/dev/zram0 partition 1 0 -3",
        ),
        ("sys/block/dm-0/dm/uuid", "CRYPT-PLAIN-swap"),
        ("proc/cmdline", ""),
    ]);

    assert_eq!(verdict(&kernel::all(&system), "swap"), Verdict::Pass);
}

#[test]
fn cgroups_of_version_1_fail_and_a_missing_controller_too() {
    let paths = Paths::new("/nonexistent", "/nonexistent");
    let (_a, one) = system(&[("sys/fs/cgroup/memory/tasks", "")]);
    assert_eq!(
        verdict(&machine::all(&paths, &one), "cgroups"),
        Verdict::Fail
    );
    let (_b, half) = system(&[("sys/fs/cgroup/cgroup.controllers", "cpu io pids")]);
    assert_eq!(
        verdict(&machine::all(&paths, &half), "cgroups"),
        Verdict::Fail
    );
    let (_c, two) = system(&[(
        "sys/fs/cgroup/cgroup.controllers",
        "cpuset cpu io memory pids",
    )]);
    assert_eq!(
        verdict(&machine::all(&paths, &two), "cgroups"),
        Verdict::Pass
    );
}

#[test]
fn whom_monitors_run_as_is_read_from_those_that_run() {
    let status = |name: &str, user: u32| format!("Name:\t{name}\nUid:\t0\t{user}\t0\t0");
    let paths = Paths::new("/nonexistent", "/nonexistent");
    let (_root, system) = system(&[
        ("proc/7/status", &status("skete-0123456789", 4711)),
        ("proc/8/status", &status("skete-vsock", 4712)),
        ("proc/9/status", &status("bash", 4713)),
        ("proc/self/status", &status("skete-0123456789", 4714)),
    ]);

    let rows = walls::all(&paths, &system);

    let row = rows.iter().find(|row| row.check == "user of monitors");
    let row = row.unwrap();
    assert!(row.value.contains("1 run now"), "{row:?}");
    // Root starts the next, or whoever tests; the one that runs is seen either way.
    let root = rustix::process::geteuid().is_root();
    let wanted = if root { Verdict::Warn } else { Verdict::Pass };
    assert_eq!(row.verdict, wanted, "{row:?}");
    assert_eq!(row.value.contains("as user 0, 4711"), root, "{row:?}");
}

#[test]
fn logs_are_measured_against_their_bound() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::new(directory.path().join("root"), directory.path().join("run"));
    let id = crate::record::PodId::random().unwrap();
    let logs = paths.container_logs(&id, "main");
    std::fs::create_dir_all(&logs).unwrap();
    let verdict_with = |name: &str, bytes: u64| {
        let file = std::fs::File::create(logs.join(name)).unwrap();
        file.set_len(bytes).unwrap();
        let (_root, system) = system(&[]);
        verdict(&walls::all(&paths, &system), "logs")
    };
    let most = crate::logs::MAX_CONTAINER_BYTES;
    assert_eq!(verdict_with("0.log", most), Verdict::Pass);
    assert_eq!(verdict_with("1.log", most), Verdict::Warn);
}
