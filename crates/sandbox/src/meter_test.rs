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
    let pod = pod(&config(), &Policy::default());
    assert_eq!(pod.labels, BTreeMap::from([("app".into(), "web".into())]));
    assert_eq!((pod.name.as_str(), pod.uid.as_str()), ("web-0", "u"));
}

#[test]
fn the_nodes_administrator_says_what_price_lists_are_told() {
    let policy = Policy {
        node_name: Some("node-7".into()),
        usage_annotations: [("spot".into(), "true".into())].into(),
        ..Policy::default()
    };
    let mut config = config();
    let own = ("spot".to_owned(), "false".to_owned());
    config.annotations.extend([own]);
    let pod = pod(&config, &policy);
    assert_eq!(pod.node, "node-7");
    assert_eq!(pod.annotations, policy.usage_annotations);
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

/// With its cgroup, `/proc` and interfaces this process stands for a monitor. `cargo xtask bench
/// usage` runs it.
#[test]
#[ignore = "a measurement"]
fn a_heartbeat_takes_microseconds() {
    const TURNS: u32 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let roots = crate::layout::Roots {
        run: dir.path().into(),
        state: dir.path().into(),
    };
    let layout = Layout::new(&roots, "test", "a").unwrap();
    let size = size::Size::of_pod(&PodSandboxConfig::new()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let meter = runtime.block_on(async {
        let meter = Meter::open(&layout, &config(), &Policy::default(), &size, 0).unwrap();
        meter.on_disk().await.unwrap();
        meter
    });
    meter.count(Some(Traffic::open(vec!["lo".into()]).unwrap()));
    let cgroup = crate::cgroup::PodCgroup::new("/").unwrap();
    let journals = layout.journals().all().unwrap();
    let length = || journals[0].path.metadata().unwrap().len();
    let (before, began) = (length(), cpu_time());
    for _ in 0..TURNS {
        meter.look(cgroup.cpu_ns(), std::process::id());
    }
    let took = (cpu_time() - began) / TURNS;
    let bytes = (length() - before) / u64::from(TURNS);
    let share = took.as_secs_f64() * 1000.0 / HEARTBEAT.as_secs_f64() * 100.0;
    println!("{took:?} and {bytes} bytes per heartbeat; 1,000 Pods: {share:.2} % of a core");
    meter.end(0, EndReason::Stopped);
    meter.close();
}

/// Of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

#[test]
fn a_pods_meter_takes_less_than_a_kibibyte() {
    // Beside it a path, two names of interfaces, and three open files of the kernel's.
    let paths = 300;
    assert!(size_of::<Meter>() + paths < 1024, "{}", size_of::<Meter>());
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
