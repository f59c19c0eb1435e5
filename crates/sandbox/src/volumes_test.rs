use super::*;

const POD: &str = "/var/lib/kubelet/pods/7c1/volumes";

fn spec(mounts: &[(&str, &str)]) -> Value {
    let mount = |(source, destination): &(&str, &str)| json!({"type": "bind", "source": source, "destination": destination, "options": ["rbind"]});
    json!({"mounts": mounts.iter().map(mount).collect::<Vec<_>>()})
}

fn place(spec: &mut Value) -> Result<Vec<agent::PutVolumeRequest>, VolumeError> {
    Volumes::default().place(spec, &BTreeMap::new())
}

#[test]
fn an_empty_dir_is_made_once_and_shared_with_its_sub_paths() {
    let root = format!("{POD}/kubernetes.io~empty-dir/cache");
    let mut spec = spec(&[(&root, "/cache"), (&format!("{root}/a/b"), "/ab")]);
    let requests = place(&mut spec).unwrap();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].has_scratch());
    assert_eq!(spec["mounts"][0]["source"], "/run/skete/volumes/v0");
    assert_eq!(spec["mounts"][1]["source"], "/run/skete/volumes/v0/a/b");
}

#[test]
fn an_empty_dir_in_memory_has_its_limit() {
    let mut spec = spec(&[(&format!("{POD}/kubernetes.io~empty-dir/ram"), "/ram")]);
    let annotation = (
        format!("{EMPTY_DIR_PREFIX}ram"),
        r#"{"memory":true,"sizeLimit":1048576}"#.to_owned(),
    );
    let requests = Volumes::default()
        .place(&mut spec, &[annotation].into())
        .unwrap();
    assert!(requests[0].has_tmpfs());
    assert_eq!(requests[0].size_limit, 1 << 20);
}

#[test]
fn a_config_map_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("volumes/kubernetes.io~configmap/settings");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("key"), "value").unwrap();
    let mut spec = spec(&[(root.to_str().unwrap(), "/etc/settings")]);
    let requests = place(&mut spec).unwrap();
    assert_eq!(requests[0].files().entries[0].content, b"value");
    assert_eq!(spec["mounts"][0]["source"], "/run/skete/volumes/v0");
}

#[test]
fn many_files_come_in_messages_that_ttrpc_takes() {
    let file = |i: usize| agent::File {
        path: i.to_string(),
        content: vec![0; 1 << 20],
        ..Default::default()
    };
    let requests = files_requests("v0", (0..5).map(file).collect());
    assert!(requests.len() > 1);
    let more: Vec<_> = requests.iter().map(|r| r.files().more).collect();
    assert_eq!(more.iter().filter(|more| !**more).count(), 1);
    assert_eq!(more.last(), Some(&false));
    assert_eq!(
        requests
            .iter()
            .map(|r| r.files().entries.len())
            .sum::<usize>(),
        5
    );
}

#[test]
fn the_hosts_directories_are_refused_however_they_are_spelled() {
    let sneaky = format!("{POD}/kubernetes.io~configmap/x/../../../../../../../etc");
    for source in ["/", "/etc", "/dev/null", "/no/such", sneaky.as_str()] {
        let refused = place(&mut spec(&[(source, "/host")]));
        assert!(
            matches!(refused, Err(VolumeError::HostPath { .. })),
            "{source}"
        );
    }
}

#[test]
fn shared_memory_is_the_guests_own() {
    let mut spec = spec(&[("/run/containerd/sandboxes/1/shm", "/dev/shm")]);
    assert!(place(&mut spec).unwrap().is_empty());
    assert_eq!(spec["mounts"][0]["type"], "tmpfs");
}

#[test]
fn an_empty_dir_has_the_mode_and_group_of_the_hosts_directory() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("volumes/kubernetes.io~empty-dir/shared");
    std::fs::create_dir_all(&root).unwrap();
    std::os::unix::fs::chown(&root, None, Some(2000)).unwrap();
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o2775)).unwrap();
    let requests = place(&mut spec(&[(root.to_str().unwrap(), "/shared")])).unwrap();
    assert_eq!((requests[0].mode, requests[0].gid), (0o2775, 2000));
}
