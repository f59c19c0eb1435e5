#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn shared_memory_is_the_guests_and_the_rest_the_programs() {
    let rollup = "7f0-7ff ---p 0 00:00 0 [rollup]\nRss: 900 kB\nPss: 700 kB\nPss_Dirty: 1 kB\n\
                  Pss_Anon:            100 kB\nPss_File:             20 kB\nPss_Shmem:           580 kB\n";
    assert_eq!(split(rollup), (120 << 10, 580 << 10));
    assert_eq!(split(""), (0, 0));
}

#[test]
fn processes_are_told_apart_by_their_programs() {
    for (program, part) in [
        ("/x/bin/containerd-shim-skete-v2", Part::Shim),
        ("/x/bin/containerd-shim-skete-v2 (deleted)", Part::Shim),
        ("/x/bin/skete-vsock", Part::SocketDevice),
        ("/usr/bin/qemu-system-x86_64", Part::Monitor),
        ("/usr/bin/sleep", Part::Other),
    ] {
        assert_eq!(Part::of_program(&program_name(Path::new(program))), part);
    }
    // This one, and one that there cannot be.
    let own = i32::try_from(std::process::id()).unwrap();
    let parts = parts(&[own, i32::MAX]);
    assert!(parts[&Part::Other] > 100 << 10, "{parts:?}");
    assert_eq!(parts.get(&Part::Shim), None);
}

#[test]
fn what_the_cgroup_counts_beyond_its_processes_is_the_kernels() {
    let parts = BTreeMap::from([(Part::Shim, 10)]);
    assert_eq!(with_rest(parts.clone(), 25)[&Part::Kernel], 15);
    assert_eq!(with_rest(parts.clone(), 10), parts);
    assert_eq!(with_rest(parts.clone(), 5), parts);
}
