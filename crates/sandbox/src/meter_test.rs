use skete_cri_api::runtime::{LinuxContainerResources, LinuxPodSandboxConfig};

use super::*;

fn config() -> PodSandboxConfig {
    let mut config = PodSandboxConfig::new();
    let metadata = config.metadata.mut_or_insert_default();
    metadata.name = "web-0".into();
    metadata.uid = "u".into();
    config.labels = [
        ("app".to_owned(), "web".to_owned()),
        ("io.kubernetes.pod.name".to_owned(), "web-0".to_owned()),
    ]
    .into();
    config
}

fn with(resources: LinuxContainerResources) -> PodSandboxConfig {
    PodSandboxConfig {
        linux: Some(LinuxPodSandboxConfig {
            resources: Some(resources).into(),
            ..Default::default()
        })
        .into(),
        ..config()
    }
}

#[test]
fn labels_are_the_pods_own() {
    let pod = pod(&config());
    assert_eq!(pod.labels, BTreeMap::from([("app".into(), "web".into())]));
    assert_eq!((pod.name.as_str(), pod.uid.as_str()), ("web-0", "u"));
}

#[test]
fn a_request_of_cpu_comes_back_out_of_its_shares() {
    for milli in [3, 100, 250, 999, 1000, 1500, 64_000] {
        // As the kubelet reckons.
        let config = with(LinuxContainerResources {
            cpu_shares: milli * 1024 / 1000,
            ..Default::default()
        });
        let requested = requested(&config, Size::default());
        assert_eq!(requested.milli_vcpus, milli.unsigned_abs());
    }
    let none = with(LinuxContainerResources {
        cpu_shares: 2,
        ..Default::default()
    });
    assert_eq!(requested(&none, Size::default()), Size::default());
}

#[test]
fn limits_are_the_sandboxs() {
    let mut config = with(LinuxContainerResources {
        cpu_quota: 150_000,
        cpu_period: 100_000,
        memory_limit_in_bytes: 64 << 20,
        ..Default::default()
    });
    let storage = (annotations::EPHEMERAL_STORAGE.to_owned(), "4096".to_owned());
    config.annotations.extend([storage]);
    let limits = limits(&config);
    assert_eq!((limits.milli_vcpus, limits.memory_bytes), (1500, 64 << 20));
    assert_eq!(limits.storage_bytes, 4096);
    assert_eq!(super::limits(&PodSandboxConfig::new()), Size::default());
}

#[test]
fn what_was_before_the_sandbox_is_told_by_an_annotation() {
    let mut config = config();
    assert_eq!(beginning(&config).unwrap(), Beginning::default());
    let told = Beginning {
        since_ns: Some(7),
        image_bytes: 8,
        ..Beginning::default()
    };
    let mut say = |text: String| {
        let said = (annotations::USAGE.to_owned(), text);
        config.annotations.extend([said]);
        beginning(&config)
    };
    assert_eq!(say(serde_json::to_string(&told).unwrap()).unwrap(), told);
    let refused = say(r#"{"since":1}"#.into()).unwrap_err().chain();
    assert!(refused.contains(annotations::USAGE), "{refused}");
}

#[test]
fn a_process_without_shared_memory_has_no_guest() {
    let mut sleep = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    assert_eq!(guest_memory_bytes(sleep.id()), Some(0));
    sleep.kill().unwrap();
    sleep.wait().unwrap();
    assert_eq!(guest_memory_bytes(sleep.id()), None);
}

#[test]
fn this_process_has_read_and_written() {
    let before = disk_bytes(std::process::id());
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    fs::write(dir.path().join("file"), vec![1; 1 << 20]).unwrap();
    let after = disk_bytes(std::process::id());
    assert!(after.1 >= before.1 + (1 << 20), "{before:?} {after:?}");
    assert_eq!(disk_bytes(u32::MAX), (0, 0));
}
