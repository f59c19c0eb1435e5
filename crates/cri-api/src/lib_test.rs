use protobuf::Message;

use super::runtime::{
    NamespaceMode, PodSandboxConfig, Protocol, SupplementalGroupsPolicy, security_profile,
};

/// What the Go types of k8s.io/cri-api v0.34.4 marshal, with a field for Windows in it.
const FROM_GO: &[u8] = include_bytes!("../testdata/pod_sandbox_config.bin");

#[test]
fn every_field_that_containerd_sends_is_read() {
    let config = PodSandboxConfig::parse_from_bytes(FROM_GO).unwrap();

    let metadata = &config.metadata;
    assert_eq!(metadata.name, "web");
    assert_eq!(metadata.uid, "8d7e1c8a-6f0c-4d26-a9a7-0a4c7e0a6b55");
    assert_eq!(metadata.namespace, "shop");
    assert_eq!(metadata.attempt, 2);
    assert_eq!(config.hostname, "web");
    assert_eq!(config.log_directory, "/var/log/pods/shop_web_8d7e1c8a");
    assert_eq!(config.dns_config.servers, ["10.96.0.10"]);
    assert_eq!(config.dns_config.searches, ["shop.svc.cluster.local"]);
    assert_eq!(config.dns_config.options, ["ndots:5"]);
    let port = &config.port_mappings[0];
    assert_eq!(port.protocol.unwrap(), Protocol::UDP);
    assert_eq!((port.container_port, port.host_port), (53, 5353));
    assert_eq!(port.host_ip, "127.0.0.1");
    assert_eq!(config.labels["app"], "web");
    assert_eq!(config.annotations["io.skete.cpus"], "2");

    let linux = &config.linux;
    assert_eq!(linux.cgroup_parent, "/kubepods/burstable/pod8d7e1c8a");
    assert_eq!(linux.sysctls["net.core.somaxconn"], "1024");
    assert_eq!(linux.overhead.memory_limit_in_bytes, 64 << 20);
    let security = &linux.security_context;
    let namespaces = &security.namespace_options;
    assert_eq!(namespaces.pid.unwrap(), NamespaceMode::CONTAINER);
    assert_eq!(namespaces.userns_options.mode.unwrap(), NamespaceMode::NODE);
    assert_eq!(security.selinux_options.type_, "t");
    assert_eq!(security.run_as_user.value, 1000);
    assert_eq!(security.run_as_group.value, 1001);
    assert_eq!(security.supplemental_groups, [7, 8]);
    assert!(security.privileged);
    assert_eq!(
        security.seccomp.profile_type.unwrap(),
        security_profile::ProfileType::Localhost
    );
    assert_eq!(security.seccomp.localhost_ref, "/p");
    assert_eq!(
        security.supplemental_groups_policy.unwrap(),
        SupplementalGroupsPolicy::Strict
    );
    let resources = &linux.resources;
    assert_eq!(resources.cpu_period, 100_000);
    assert_eq!(resources.cpu_quota, 150_000);
    assert_eq!(resources.cpu_shares, 512);
    assert_eq!(resources.memory_limit_in_bytes, 256 << 20);
    assert_eq!(resources.oom_score_adj, 999);
    assert_eq!(resources.cpuset_cpus, "0-1");
    assert_eq!(resources.hugepage_limits[0].page_size, "2MB");
    assert_eq!(resources.hugepage_limits[0].limit, 4096);
    assert_eq!(resources.unified["memory.high"], "1");
    assert_eq!(resources.memory_swap_limit_in_bytes, 5);
}

#[test]
fn what_is_not_known_here_survives_a_round_trip() {
    let config = PodSandboxConfig::parse_from_bytes(FROM_GO).unwrap();

    let again = PodSandboxConfig::parse_from_bytes(&config.write_to_bytes().unwrap()).unwrap();

    assert_eq!(again, config);
    assert!(config.unknown_fields().get(9).is_some(), "windows");
}
