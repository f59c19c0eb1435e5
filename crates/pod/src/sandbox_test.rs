use super::*;
use crate::plan::PodPlan;

fn planned(spec: &str) -> PodPlan {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: shop, labels: {{app: w}}, annotations: {{note: x}}}}\nspec:\n  containers: [{{name: main, image: \"web:1\", ports: [{{containerPort: 80, hostPort: 8080, hostIP: 127.0.0.1}}, {{containerPort: 53, protocol: UDP}}]}}]\n{spec}"
    );
    let directory = tempfile::tempdir().unwrap();
    crate::plan::tests::planned(&text, directory.path())
}

#[test]
fn the_configuration_is_the_kubelets() {
    let plan = planned(
        "  shareProcessNamespace: true\n  securityContext: {runAsUser: 5, fsGroup: 6, supplementalGroups: [7], sysctls: [{name: net/core/somaxconn, value: \"1024\"}]}\n",
    );
    let config = plan.sandbox;
    assert_eq!(config.metadata.name, "web");
    assert_eq!(config.metadata.namespace, "shop");
    assert_eq!(config.metadata.uid, "8d7e1c8a-6f0c-4d26-a9a7-0a4c7e0a6b55");
    assert_eq!(config.labels["app"], "w");
    assert_eq!(config.labels["io.kubernetes.pod.name"], "web");
    assert_eq!(config.labels["io.kubernetes.pod.namespace"], "shop");
    assert_eq!(config.labels["io.kubernetes.pod.uid"], config.metadata.uid);
    assert_eq!(config.annotations.len(), 1);
    assert_eq!(config.log_directory, "/var/log/pods/hello");
    let ports = &config.port_mappings;
    assert_eq!(
        (ports[0].host_port, ports[0].host_ip.as_str()),
        (8080, "127.0.0.1")
    );
    assert_eq!(
        (ports[1].host_port, ports[1].protocol.unwrap()),
        (0, Protocol::UDP)
    );
    let linux = &config.linux;
    assert_eq!(linux.cgroup_parent, "/skete/pod8d7e1c8a");
    assert_eq!(linux.sysctls["net.core.somaxconn"], "1024");
    let security = &linux.security_context;
    assert_eq!(security.namespace_options.pid.unwrap(), NamespaceMode::POD);
    assert_eq!(security.run_as_user.value, 5);
    assert_eq!(security.supplemental_groups, [6, 7]);
    assert!(!security.privileged);
}

#[test]
fn host_names_are_the_kubelets() {
    let name = |pod_name: &str, spec: serde_json::Value| {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let mut pod = Pod::default();
        pod.metadata.name = Some(pod_name.to_owned());
        pod.metadata.namespace = Some("shop".to_owned());
        host_name(&pod, &spec).map(|name| (name.short, name.kernel))
    };
    let text = |short: &str, kernel: &str| Ok((short.to_owned(), kernel.to_owned()));
    assert_eq!(name("web", serde_json::json!({})), text("web", "web"));
    assert_eq!(
        name("web", serde_json::json!({"hostname": "h"})),
        text("h", "h")
    );
    let fqdn = serde_json::json!({"subdomain": "s", "setHostnameAsFQDN": true});
    assert_eq!(
        name("web", fqdn.clone()),
        text("web", "web.s.shop.svc.cluster.local")
    );
    assert!(name(&"w".repeat(50), fqdn).is_err());
    let long = format!("{}-x{}", "a".repeat(62), "b".repeat(20));
    let (short, _) = name(&long, serde_json::json!({})).unwrap();
    assert_eq!(short, "a".repeat(62), "cut, and no dash at its end");
}

#[test]
fn hosts_are_the_kubelets() {
    let plan = planned(
        "  subdomain: s\n  hostAliases: [{ip: 192.0.2.9, hostnames: [db, db.example.org]}]\n",
    );
    let directory = plan.dir().parent().unwrap().parent().unwrap().to_owned();
    let addresses = crate::Addresses {
        pod: &["10.88.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        host: &[],
    };
    plan.write_etc_files(&addresses).unwrap();
    let hosts = std::fs::read_to_string(plan.dir().join("etc-hosts")).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    let ours = hosts.split_once("ip6-allrouters\n").unwrap().1;
    assert_eq!(
        ours,
        "10.88.0.7\tweb.s.shop.svc.cluster.local\tweb\nfd00::7\tweb.s.shop.svc.cluster.local\tweb\n\n# Entries added by HostAliases.\n192.0.2.9\tdb\tdb.example.org\n"
    );
}

#[test]
fn dns_settings_come_from_the_host_the_pod_or_both() {
    let host = "# comment\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nsearch old\nsearch a.example b.example .\noptions ndots:1 edns0\n";
    let of = |spec: serde_json::Value| {
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        skete_cri_api::resolv_conf(&dns(&spec, host))
    };
    assert_eq!(
        of(serde_json::json!({"dnsPolicy": "ClusterFirst"})),
        "search a.example b.example\nnameserver 192.0.2.1\noptions ndots:1 edns0\n"
    );
    let own = serde_json::json!({
        "nameservers": ["192.0.2.1", "192.0.2.2"],
        "searches": ["b.example", "c.example"],
        "options": [{"name": "ndots", "value": "5"}, {"name": "rotate"}],
    });
    assert_eq!(
        of(serde_json::json!({"dnsPolicy": "Default", "dnsConfig": own})),
        "search a.example b.example c.example\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions edns0 ndots:5 rotate\n"
    );
    assert_eq!(
        of(serde_json::json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.2"]}})),
        "nameserver 192.0.2.2\n"
    );
}
