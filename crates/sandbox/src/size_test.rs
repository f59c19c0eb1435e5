use skete_cri_api::runtime::LinuxContainerResources;
use skete_cri_api::{DEFAULT_MEMORY_MIB, DEFAULT_VCPUS, GUEST_RESERVE_MIB};
use skete_hypervisor::Accelerator;

use super::*;

fn pod(cpu_quota: i64, memory_mib: i64) -> PodSandboxConfig {
    let mut config = PodSandboxConfig::new();
    *config
        .linux
        .mut_or_insert_default()
        .resources
        .mut_or_insert_default() = LinuxContainerResources {
        cpu_quota,
        cpu_period: 100_000,
        memory_limit_in_bytes: memory_mib << 20,
        ..Default::default()
    };
    config
}

#[test]
fn a_pod_without_limits_gets_the_defaults() {
    let size = Size::of_pod(&PodSandboxConfig::new()).unwrap();
    assert_eq!(size.vcpus, DEFAULT_VCPUS);
    assert_eq!(size.memory_mib, DEFAULT_MEMORY_MIB + GUEST_RESERVE_MIB);
    assert_eq!(size.scratch_bytes, skete_cri_api::DEFAULT_STORAGE_BYTES);
    assert_eq!(size.limits(0).cpu_quota_us, 0);
}

#[test]
fn part_of_a_cpu_becomes_a_whole_vcpu_and_a_quota() {
    for (quota, vcpus) in [(25_000, 1), (100_000, 1), (150_000, 2), (400_000, 4)] {
        let size = Size::of_pod(&pod(quota, 64)).unwrap();
        assert_eq!(size.vcpus, vcpus, "{quota}");
        assert_eq!(size.limits(0).cpu_quota_us, u64::try_from(quota).unwrap());
    }
}

#[test]
fn the_hosts_limit_holds_guest_and_overhead() {
    let size = Size::of_pod(&pod(0, 16)).unwrap();
    assert_eq!(
        size.limits(100).memory_bytes,
        (16 + GUEST_RESERVE_MIB + 100) << 20
    );
}

#[test]
fn a_pod_that_its_cgroup_does_not_hold_is_told_the_overhead_it_needs() {
    let size = Size::of_pod(&pod(0, 100)).unwrap();
    let needed = 100 + GUEST_RESERVE_MIB + 96;
    assert!(size.check_room(96, Some(needed << 20)).is_ok());
    let error = size.check_room(96, Some((needed - 1) << 20)).unwrap_err();
    assert!(error.to_string().contains("144Mi"), "{error}");
}

#[test]
fn the_monitor_may_use_the_overheads_share_of_a_cpu() {
    let mut config = pod(20_000, 64);
    let linux = config.linux.mut_or_insert_default();
    *linux.overhead.mut_or_insert_default() = LinuxContainerResources {
        cpu_quota: 25_000,
        cpu_period: 50_000,
        ..Default::default()
    };
    let size = Size::of_pod(&config).unwrap();
    assert_eq!((size.vcpus, size.limits(0).cpu_quota_us), (1, 70_000));
}

#[test]
fn an_annotation_that_is_no_number_is_named() {
    let mut config = PodSandboxConfig::new();
    config
        .annotations
        .insert(annotations::EPHEMERAL_STORAGE.into(), "1Gi".into());
    let error = Size::of_pod(&config).unwrap_err().to_string();
    assert!(
        error.contains(annotations::EPHEMERAL_STORAGE) && error.contains("1Gi"),
        "{error}"
    );
}

#[test]
fn the_runtime_classes_of_the_manifests_have_this_overhead() {
    for (manifest, accelerator) in [
        (
            include_str!("../../../deploy/base/runtimeclass.yaml"),
            Accelerator::Kvm,
        ),
        (
            include_str!("../../../deploy/emulation/kustomization.yaml"),
            Accelerator::Emulation,
        ),
    ] {
        let wanted = format!(": {}Mi\n", GUEST_RESERVE_MIB + accelerator.overhead_mib());
        assert!(manifest.contains(&wanted), "{wanted} is not in {manifest}");
    }
}
