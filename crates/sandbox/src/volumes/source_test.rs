use std::fs;

use super::*;

const POD: &str = "/var/lib/kubelet/pods/7c1";

fn sub_path_of(mountinfo: &str) -> Option<Source> {
    let source = format!("{POD}/volume-subpaths/data/main/0");
    sub_path_in(
        &mountinfo::parse(mountinfo),
        Path::new(&source),
        &Disks::new(),
    )
}

#[test]
fn a_sub_path_of_an_empty_dir_on_disk_is_found() {
    let mountinfo = format!(
        "21 1 254:0 / / rw - ext4 /dev/vda rw\n\
         99 21 254:0 {POD}/volumes/kubernetes.io~empty-dir/data/a\\040b {POD}/volume-subpaths/data/main/0 rw - ext4 /dev/vda rw\n"
    );
    let Some(Source::EmptyDir { root, below, name }) = sub_path_of(&mountinfo) else {
        panic!("not an emptyDir");
    };
    assert_eq!(
        root,
        Path::new(&format!("{POD}/volumes/kubernetes.io~empty-dir/data"))
    );
    assert_eq!((below.to_str(), name.as_str()), (Some("a b"), "data"));
}

#[test]
fn a_sub_path_of_a_volume_in_memory_is_found() {
    let mountinfo = format!(
        "21 1 254:0 / / rw - ext4 /dev/vda rw\n\
         98 21 0:77 / {POD}/volumes/kubernetes.io~secret/data rw - tmpfs tmpfs rw\n\
         99 21 0:77 /..2024_1/key {POD}/volume-subpaths/data/main/0 rw - tmpfs tmpfs rw\n"
    );
    let Some(Source::Files { root, below }) = sub_path_of(&mountinfo) else {
        panic!("not a secret");
    };
    assert_eq!(
        root,
        Path::new(&format!("{POD}/volumes/kubernetes.io~secret/data"))
    );
    assert_eq!(below, Path::new("..2024_1/key"));
}

#[test]
fn a_sub_path_of_the_host_is_none_of_a_volume() {
    let mountinfo = format!(
        "21 1 254:0 / / rw - ext4 /dev/vda rw\n\
         99 21 254:0 /etc {POD}/volume-subpaths/data/main/0 rw - ext4 /dev/vda rw\n"
    );
    assert_eq!(sub_path_of(&mountinfo), None);
}

#[test]
fn a_termination_log_is_the_kubelets_file_for_one_container() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("pods/7c1/containers/main/1f2e");
    fs::create_dir_all(log.parent().unwrap()).unwrap();
    fs::write(&log, "").unwrap();
    assert_eq!(
        classify(&log, "/dev/termination-log", &Disks::new()),
        Source::TerminationLog(log.clone())
    );
    let other = directory.path().join("hosts");
    fs::write(&other, "").unwrap();
    assert_eq!(
        classify(&other, "/etc/hosts", &Disks::new()),
        Source::File(other)
    );
}
