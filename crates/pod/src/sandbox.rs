//! The sandbox's configuration, as the kubelet writes it, and the files that all containers share.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use skete_cri_api::runtime::{
    DNSConfig, Int64Value, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, PodSandboxConfig, PodSandboxMetadata, PortMapping, Protocol, SecurityProfile,
    SupplementalGroupsPolicy, security_profile::ProfileType,
};

use crate::resources;
use crate::security::Security;
use crate::validate::all_containers;

/// The domain below which Services and Pods of a cluster have their names.
const CLUSTER_DOMAIN: &str = "cluster.local";
/// Longest host name that Linux takes.
const MAX_HOSTNAME: usize = 64;

/// The Pod's host name and, if it has a subdomain, its domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostName {
    pub(crate) short: String,
    pub(crate) domain: Option<String>,
    /// What the kernel is told.
    pub(crate) kernel: String,
}

/// The kubelet's `GeneratePodHostNameAndDomain`. The error is the name that is too long.
pub(crate) fn host_name(pod: &Pod, spec: &PodSpec) -> Result<HostName, String> {
    let name = pod.metadata.name.clone().unwrap_or_default();
    let mut short = match spec.hostname.as_deref() {
        Some(hostname) if !hostname.is_empty() => hostname.to_owned(),
        _ => name,
    };
    if short.len() > 63 {
        short.truncate(63);
        short.truncate(short.trim_end_matches(['-', '.']).len());
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let domain = spec
        .subdomain
        .as_deref()
        .filter(|subdomain| !subdomain.is_empty())
        .map(|subdomain| format!("{subdomain}.{namespace}.svc.{CLUSTER_DOMAIN}"));
    let kernel = match &domain {
        Some(domain) if spec.set_hostname_as_fqdn == Some(true) => format!("{short}.{domain}"),
        _ => short.clone(),
    };
    if kernel.len() > MAX_HOSTNAME {
        return Err(kernel);
    }
    Ok(HostName {
        short,
        domain,
        kernel,
    })
}

/// `/etc/hosts` as the kubelet writes it.
pub(crate) fn hosts(spec: &PodSpec, name: &HostName, addresses: &[IpAddr]) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n",
    );
    for address in addresses {
        let short = &name.short;
        text.push_str(&match &name.domain {
            Some(domain) => format!("{address}\t{short}.{domain}\t{short}\n"),
            None => format!("{address}\t{short}\n"),
        });
    }
    let aliases: Vec<_> = spec.host_aliases.iter().flatten().collect();
    if !aliases.is_empty() {
        text.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.clone().unwrap_or_default().join("\t");
        text.push_str(&format!("{}\t{names}\n", alias.ip));
    }
    text
}

/// The Pod's DNS settings by its policy, from the host's `resolv.conf`.
///
/// There is no cluster and so no DNS of one: `ClusterFirst` is `Default`, as with a kubelet that
/// knows of none. Servers on the host's loopback cannot be reached from a guest and are left out.
pub(crate) fn dns(spec: &PodSpec, resolv_conf: &str) -> DNSConfig {
    let mut config = match spec.dns_policy.as_deref() {
        Some("None") => DNSConfig::default(),
        _ => parse_resolv_conf(resolv_conf),
    };
    let Some(own) = &spec.dns_config else {
        return config;
    };
    let mut seen: BTreeSet<String> = config.servers.iter().cloned().collect();
    let servers = own.nameservers.iter().flatten();
    config
        .servers
        .extend(servers.filter(|s| seen.insert((*s).clone())).cloned());
    let mut seen: BTreeSet<String> = config.searches.iter().cloned().collect();
    let searches = own.searches.iter().flatten();
    config
        .searches
        .extend(searches.filter(|s| seen.insert((*s).clone())).cloned());
    for option in own.options.iter().flatten() {
        let Some(name) = &option.name else { continue };
        let is_it = |other: &String| other.split(':').next() == Some(name);
        config.options.retain(|other| !is_it(other));
        config.options.push(match option.value.as_deref() {
            Some(value) if !value.is_empty() => format!("{name}:{value}"),
            _ => name.clone(),
        });
    }
    config.servers.truncate(3);
    config.searches.truncate(32);
    config
}

/// By resolv.conf(5): the last `search` counts, options add up.
fn parse_resolv_conf(text: &str) -> DNSConfig {
    let mut config = DNSConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => {
                let address: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
                let reached = address.filter(|address| !address.is_loopback());
                config
                    .servers
                    .extend(reached.map(|address| address.to_string()));
            }
            Some("search") => {
                let domains = words.filter(|word| *word != ".");
                config.searches = domains.map(str::to_owned).collect();
            }
            Some("options") => config.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    config.servers.truncate(3);
    config
}

/// What the kubelet puts into `RunPodSandbox`, and containerd into `CreateSandbox`.
pub(crate) fn config(
    pod: &Pod,
    spec: &PodSpec,
    name: &HostName,
    dns: DNSConfig,
    cgroup_parent: &str,
    log_directory: &str,
) -> PodSandboxConfig {
    let metadata = &pod.metadata;
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut labels = metadata.labels.clone().unwrap_or_default();
    labels.insert("io.kubernetes.pod.name".to_owned(), text(&metadata.name));
    labels.insert(
        "io.kubernetes.pod.namespace".to_owned(),
        text(&metadata.namespace),
    );
    labels.insert("io.kubernetes.pod.uid".to_owned(), text(&metadata.uid));
    let sysctls = spec
        .security_context
        .iter()
        .flat_map(|s| &s.sysctls)
        .flatten();
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: text(&metadata.name),
            uid: text(&metadata.uid),
            namespace: text(&metadata.namespace),
            ..Default::default()
        })
        .into(),
        hostname: name.kernel.clone(),
        log_directory: log_directory.to_owned(),
        dns_config: Some(dns).into(),
        port_mappings: port_mappings(spec),
        labels: labels.into_iter().collect(),
        annotations: metadata
            .annotations
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect(),
        linux: Some(LinuxPodSandboxConfig {
            cgroup_parent: cgroup_parent.to_owned(),
            security_context: Some(security_context(spec)).into(),
            sysctls: sysctls
                .map(|s| (s.name.replace('/', "."), s.value.clone()))
                .collect(),
            overhead: Some(Default::default()).into(),
            resources: Some(resources::sandbox_resources(spec)).into(),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    }
}

fn port_mappings(spec: &PodSpec) -> Vec<PortMapping> {
    let ports = all_containers(spec).flat_map(|(_, c, _)| c.ports.iter().flatten());
    ports
        .map(|port| PortMapping {
            protocol: match port.protocol.as_deref() {
                Some("UDP") => Protocol::UDP,
                Some("SCTP") => Protocol::SCTP,
                _ => Protocol::TCP,
            }
            .into(),
            container_port: port.container_port,
            host_port: port.host_port.unwrap_or(0),
            host_ip: port.host_ip.clone().unwrap_or_default(),
            ..Default::default()
        })
        .collect()
}

fn security_context(spec: &PodSpec) -> LinuxSandboxSecurityContext {
    let pod = spec.security_context.clone().unwrap_or_default();
    let privileged = |c| Security::of(spec, c).privileged;
    let id = |value: i64| Int64Value {
        value,
        ..Default::default()
    };
    let mut groups: Vec<i64> = pod.fs_group.into_iter().collect();
    groups.extend(pod.supplemental_groups.into_iter().flatten());
    let strict = pod.supplemental_groups_policy.as_deref() == Some("Strict");
    LinuxSandboxSecurityContext {
        namespace_options: Some(NamespaceOption {
            pid: match spec.share_process_namespace {
                Some(true) => NamespaceMode::POD,
                _ => NamespaceMode::CONTAINER,
            }
            .into(),
            ..Default::default()
        })
        .into(),
        run_as_user: pod.run_as_user.map(id).into(),
        // A group without a user is an error in the CRI.
        run_as_group: pod
            .run_as_group
            .filter(|_| pod.run_as_user.is_some())
            .map(id)
            .into(),
        supplemental_groups: groups,
        supplemental_groups_policy: if strict {
            SupplementalGroupsPolicy::Strict
        } else {
            SupplementalGroupsPolicy::Merge
        }
        .into(),
        privileged: all_containers(spec).any(|(_, c, _)| privileged(c)),
        seccomp: Some(SecurityProfile {
            profile_type: ProfileType::RuntimeDefault.into(),
            ..Default::default()
        })
        .into(),
        ..Default::default()
    }
}

#[cfg(test)]
#[path = "sandbox_test.rs"]
mod tests;
