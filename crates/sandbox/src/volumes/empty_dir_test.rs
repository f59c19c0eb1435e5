use super::*;

#[test]
fn disks_are_made_where_the_kubelet_measures_until_there_are_enough() {
    let dir = tempfile::tempdir().unwrap();
    let mut disks = EmptyDisks::new(dir.path().join("templates"), scratch::MIN_BYTES);
    for number in 0..MAX_DISKS {
        let root = dir.path().join(number.to_string());
        std::fs::create_dir(&root).unwrap();
        let file = disks.make(&root).unwrap().unwrap();
        assert_eq!(file.parent(), Some(root.as_path()));
        assert_eq!(file.metadata().unwrap().len(), scratch::MIN_BYTES);
    }
    assert_eq!(disks.make(dir.path()).unwrap(), None);
}

#[test]
fn an_empty_dir_has_the_mode_and_the_group_of_the_kubelets_directory() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let mode = std::fs::Permissions::from_mode(0o2770);
    std::fs::set_permissions(dir.path(), mode).unwrap();
    let request = request("v0", dir.path(), None);
    assert!(request.has_scratch());
    assert_eq!(request.mode, 0o2770);
    assert_eq!(request.gid, dir.path().metadata().unwrap().gid());
}
