use super::*;
use crate::runtime::LinuxContainerResources;

fn pod(cpu_quota: i64, cpu_period: i64, memory_limit_in_bytes: i64) -> PodSandboxConfig {
    let mut config = PodSandboxConfig::new();
    *config
        .linux
        .mut_or_insert_default()
        .resources
        .mut_or_insert_default() = LinuxContainerResources {
        cpu_quota,
        cpu_period,
        memory_limit_in_bytes,
        ..Default::default()
    };
    config
}

fn annotated(key: &str, value: &str) -> PodSandboxConfig {
    let mut config = pod(400_000, 100_000, 4096 << 20);
    config.annotations.insert(key.to_owned(), value.to_owned());
    config
}

#[test]
fn a_size_follows_the_limits_rounded_up() {
    let default = (DEFAULT_VCPUS, DEFAULT_MEMORY_MIB);
    for (config, wanted) in [
        (PodSandboxConfig::new(), default),
        (pod(0, 0, 0), default),
        (pod(25_000, 100_000, 1), (1, 1)),
        (pod(100_000, 100_000, 64 << 20), (1, 64)),
        (pod(150_000, 100_000, (100 << 20) + 1), (2, 101)),
        // A quota without its period is one of the kernel's usual period.
        (pod(150_000, 0, 64 << 20), (2, 64)),
        // What no kubelet says.
        (pod(i64::MAX, 1, -1), (u32::MAX, DEFAULT_MEMORY_MIB)),
        (pod(-1, -1, i64::MIN), default),
    ] {
        let size = Size::of_sandbox(&config).unwrap();
        assert_eq!((size.vcpus, size.memory_mib), wanted, "{config}");
    }
}

#[test]
fn annotations_go_before_limits() {
    let size = |key, value| Size::of_sandbox(&annotated(key, value)).unwrap();
    assert_eq!(size(annotations::VCPUS, "2").vcpus, 2);
    assert_eq!(size(annotations::VCPUS, "2").memory_mib, 4096);
    for (text, mib) in [("1Gi", 1024), ("1.5Gi", 1536), ("64M", 62), ("1", 1)] {
        assert_eq!(size(annotations::MEMORY, text).memory_mib, mib, "{text}");
    }
}

#[test]
fn an_annotation_that_is_no_size_is_refused() {
    for (key, value) in [
        (annotations::VCPUS, "0"),
        (annotations::VCPUS, "1.5"),
        (annotations::VCPUS, "-1"),
        (annotations::MEMORY, "0"),
        (annotations::MEMORY, "-1Gi"),
        (annotations::MEMORY, "lots"),
    ] {
        let error = Size::of_sandbox(&annotated(key, value)).unwrap_err();
        assert!(error.to_string().contains(value), "{error}");
        assert_eq!(Size::check_annotation(key, value), Err(error));
    }
    assert_eq!(Size::check_annotation("example.com/vcpus", "0"), Ok(()));
}
