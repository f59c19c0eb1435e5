use super::*;

const POD: &str = "/var/lib/kubelet/pods/7c1/volumes";

fn spec(mounts: &[(&str, &str)]) -> Value {
    let mount = |(source, destination): &(&str, &str)| json!({"type": "bind", "source": source, "destination": destination, "options": ["rbind"]});
    json!({"mounts": mounts.iter().map(mount).collect::<Vec<_>>()})
}

/// The volumes that the mounts ask for, without those that every container has.
fn place(spec: &mut Value) -> Result<Vec<agent::PutVolumeRequest>, VolumeError> {
    place_with(spec, &PodSandboxConfig::new())
}

fn place_with(
    spec: &mut Value,
    config: &PodSandboxConfig,
) -> Result<Vec<agent::PutVolumeRequest>, VolumeError> {
    let placed = Volumes::default().place(spec, config, &Policy::default())?;
    let asked = |request: &agent::PutVolumeRequest| request.name != SANDBOX_FILES;
    Ok(placed.requests.into_iter().filter(asked).collect())
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
    let config = PodSandboxConfig {
        annotations: [annotation].into(),
        ..PodSandboxConfig::default()
    };
    let requests = place_with(&mut spec, &config).unwrap();
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
fn a_path_of_the_host_that_is_allowed_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("zone"), "UTC").unwrap();
    let policy = Policy {
        allow_host_paths: [dir.path().to_owned()].into(),
        ..Policy::default()
    };
    let mut spec = spec(&[(dir.path().to_str().unwrap(), "/zones")]);
    let placed = Volumes::default()
        .place(&mut spec, &PodSandboxConfig::new(), &policy)
        .unwrap();
    assert_eq!(placed.requests[0].files().entries[0].content, b"UTC");
    assert_eq!(spec["mounts"][0]["source"], "/run/skete/volumes/v0");
}

#[test]
fn shared_memory_is_one_volume_of_the_guest() {
    let mut volumes = Volumes::default();
    let mut first = spec(&[("/run/containerd/sandboxes/1/shm", "/dev/shm")]);
    let mut second = json!({"mounts": [{
        "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["size=1024k"],
    }]});
    let config = PodSandboxConfig::new();
    let placed = volumes
        .place(&mut first, &config, &Policy::default())
        .unwrap();
    assert!(
        placed
            .requests
            .iter()
            .any(|r| r.name == "shm" && r.has_tmpfs())
    );
    let placed = volumes
        .place(&mut second, &config, &Policy::default())
        .unwrap();
    assert!(placed.requests.is_empty());
    for spec in [first, second] {
        assert_eq!(spec["mounts"][0]["source"], "/run/skete/volumes/shm");
    }
}

#[test]
fn names_and_resolver_are_given_where_containerd_gives_none() {
    let mut config = PodSandboxConfig {
        hostname: "web-0".to_owned(),
        ..PodSandboxConfig::default()
    };
    config.dns_config.mut_or_insert_default().servers = vec!["10.96.0.10".to_owned()];
    let hosts = tempfile::NamedTempFile::new().unwrap();
    let mut spec = spec(&[(hosts.path().to_str().unwrap(), "/etc/resolv.conf")]);
    let placed = Volumes::default()
        .place(&mut spec, &config, &Policy::default())
        .unwrap();
    let added = &spec["mounts"][1];
    assert_eq!(added["destination"], "/etc/hostname");
    assert_eq!(added["source"], "/run/skete/volumes/sandbox/hostname");
    assert_eq!(spec["mounts"].as_array().unwrap().len(), 2);
    let files = &placed.requests[1].files().entries;
    assert_eq!(files[0].content, b"web-0\n");
    assert_eq!(files[1].content, b"nameserver 10.96.0.10\n");
}

#[test]
fn a_volume_that_the_kubelet_swaps_is_given_anew() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("volumes/kubernetes.io~configmap/settings");
    let swap = |version: &str| {
        std::fs::create_dir_all(root.join(version)).unwrap();
        std::fs::write(root.join(version).join("key"), version).unwrap();
        std::os::unix::fs::symlink(version, root.join("..new")).unwrap();
        std::fs::rename(root.join("..new"), root.join("..data")).unwrap();
    };
    swap("..1");
    let mut volumes = Volumes::default();
    let mut spec = spec(&[(root.to_str().unwrap(), "/etc/settings")]);
    volumes
        .place(&mut spec, &PodSandboxConfig::new(), &Policy::default())
        .unwrap();
    assert!(volumes.changes().is_empty());

    swap("..2");

    let changes = volumes.changes();
    assert_eq!(changes.len(), 1);
    let entries = &changes[0].files().entries;
    assert!(entries.iter().any(|file| file.content == b"..2"));
    assert!(volumes.changes().is_empty());
}

#[test]
fn last_words_go_into_the_kubelets_file_and_through_no_link() {
    let dir = tempfile::tempdir().unwrap();
    let log = |name: &str| TerminationLog {
        host: dir.path().join(name),
        volume: String::new(),
        file: String::new(),
    };
    std::fs::write(dir.path().join("log"), "before").unwrap();
    log("log").keep(b"bye").unwrap();
    assert_eq!(std::fs::read(dir.path().join("log")).unwrap(), b"bye");
    std::os::unix::fs::symlink("log", dir.path().join("link")).unwrap();
    assert!(log("link").keep(b"oh").is_err());
    assert!(log("gone").keep(b"oh").is_err());
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

#[test]
fn an_empty_dir_of_a_kubelets_pod_is_on_a_disk_of_its_own_unless_it_is_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("volumes/kubernetes.io~empty-dir");
    for name in ["disk", "ram"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    let [disk, ram] = ["disk", "ram"].map(|name| root.join(name));
    let mut spec = spec(&[
        (disk.to_str().unwrap(), "/disk"),
        (ram.to_str().unwrap(), "/ram"),
        (disk.join("part").to_str().unwrap(), "/part"),
    ]);
    let in_memory = (
        format!("{EMPTY_DIR_PREFIX}ram"),
        r#"{"memory":true}"#.to_owned(),
    );
    let config = PodSandboxConfig {
        annotations: [in_memory].into(),
        ..PodSandboxConfig::default()
    };
    let disks = EmptyDisks::new(dir.path().join("templates"), crate::scratch::MIN_BYTES);
    let mut volumes = Volumes::new("5ab", Some(disks));
    let placed = volumes
        .place(&mut spec, &config, &Policy::default())
        .unwrap();
    assert_eq!(placed.disks.len(), 1);
    assert!(placed.disks[0].1.starts_with(&disk));
    assert!(placed.requests[0].has_block() && placed.requests[1].has_tmpfs());
    assert_eq!(placed.requests[0].block().serial, placed.disks[0].0);
    assert_eq!(spec["mounts"][2]["source"], "/run/skete/volumes/v0/part");
}
