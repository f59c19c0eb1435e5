use super::*;

#[test]
fn every_cgroup_hierarchy_is_found_once() {
    let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                  cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n\
                  cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                  cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n";
    let found = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    assert_eq!(hierarchies(mounts), found);
}

#[test]
fn only_what_is_mounted_below_the_directory_is_found() {
    let mountinfo = "30 1 0:26 / /a rw - tmpfs tmpfs rw\n\
                     31 1 0:27 / /a/b\\040c rw - tmpfs tmpfs rw\n\
                     32 1 0:28 / /ab rw - tmpfs tmpfs rw\n";
    assert_eq!(mounted_below(mountinfo, Path::new("/a")), ["/a", "/a/b c"]);
    assert_eq!(mounted_below(mountinfo, Path::new("/b")), [""; 0]);
}
