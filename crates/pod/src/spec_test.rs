use serde_json::json;

use super::*;
use crate::plan::PodPlan;

/// Written by containerd v2.4.2: its CRI server's `buildContainerSpec` and `containerSpecOpts`,
/// given what the kubelet sends for these Pods. It ran on cgroup v1, without CAP_SYS_RESOURCE and
/// with `privileged_without_host_devices`.
const PLAIN: &str = include_str!("../testdata/spec_plain.json");
const PRIVILEGED: &str = include_str!("../testdata/spec_privileged.json");
const STRICT: &str = include_str!("../testdata/spec_strict.json");

fn plan(spec: &str) -> PodPlan {
    let text =
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web, namespace: shop}}\n{spec}");
    let manifest = crate::Manifest::parse(text.as_bytes(), "pod.yaml");
    let context = crate::PodContext {
        uid: "8d7e1c8a-6f0c-4d26-a9a7-0a4c7e0a6b55",
        pods_dir: Path::new("/pods"),
        sandbox_dir: Path::new("/root/sandboxes/s1"),
        log_dir: Path::new("/var/log/pods/web"),
        cgroup_parent: "/skete/pod8d7e1c8a",
        node_name: "laptop",
        resolv_conf: "",
    };
    crate::plan(&manifest.unwrap_or_else(|e| panic!("{e}")), &context).unwrap()
}

fn spec_of(plan: &PodPlan, image: &ImageConfig) -> Result<Spec, SpecError> {
    plan.containers[0].spec(&ContainerInput {
        image,
        image_name: "docker.io/library/web:1",
        sandbox_id: "s1",
        container_id: "c1",
        sandbox_pid: 42,
        addresses: Addresses {
            pod: &["10.88.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
            host: &["192.0.2.1".parse().unwrap()],
        },
    })
}

fn image() -> ImageConfig {
    ImageConfig {
        user: "1000:1001".to_owned(),
        entrypoint: vec!["/entry".to_owned(), "--flag".to_owned()],
        cmd: vec!["serve".to_owned()],
        env: vec!["PATH=/app/bin:/bin".to_owned(), "LANG=C.UTF-8".to_owned()],
        working_dir: "/app".to_owned(),
        stop_signal: String::new(),
    }
}

/// Leaves out what says the same as its absence: Go omits it, others may not. Sorts capabilities,
/// and the environment, of which the last entry of a name counts.
fn normal(value: Json) -> Json {
    match value {
        Json::Object(map) => {
            let kept = map.into_iter().map(|(key, value)| match key.as_str() {
                "bounding" | "effective" | "permitted" => (key, sorted(value)),
                "env" => (key, last_of_each_name(&value)),
                _ => (key, normal(value)),
            });
            let empty = |v: &Json| {
                *v == json!(null) || *v == json!(false) || *v == json!({}) || *v == json!([])
            };
            Json::Object(kept.filter(|(_, value)| !empty(value)).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(normal).collect()),
        value => value,
    }
}

fn sorted(value: Json) -> Json {
    let mut list: Vec<String> = serde_json::from_value(value).unwrap();
    list.sort();
    json!(list)
}

fn last_of_each_name(value: &Json) -> Json {
    let entries = value.as_array().unwrap().iter();
    let entries = entries.map(|entry| entry.as_str().unwrap().split_once('=').unwrap());
    Json::Object(entries.map(|(k, v)| (k.to_owned(), json!(v))).collect())
}

fn assert_like_containerd(spec: &Spec, golden: &str, adapt: impl FnOnce(&mut Json)) {
    let mut golden: Json = serde_json::from_str(golden).unwrap();
    adapt(&mut golden);
    // Both pass through the same types, so neither may hold what the types do not know.
    let typed: Spec = serde_json::from_value(golden.clone()).unwrap();
    let golden = normal(golden);
    assert_eq!(normal(json!(typed)), golden);
    let ours = normal(json!(spec));
    for (key, value) in golden.as_object().unwrap() {
        assert_eq!(&ours[key], value, "{key}");
    }
    assert_eq!(ours, golden);
}

#[test]
fn a_plain_container_is_specified_as_containerd_specifies_it() {
    let plan = plan(
        r#"
spec:
  containers:
  - name: main
    image: web:1
    args: [--name, $(NAME)]
    env: [{name: NAME, value: web}, {name: LANG, value: de_DE.UTF-8}]
    resources: {limits: {cpu: 500m, memory: 128Mi}, requests: {cpu: 250m, memory: 64Mi}}
    volumeMounts:
    - {name: cache, mountPath: /data/cache}
    - {name: config, mountPath: config}
  securityContext: {supplementalGroupsPolicy: Strict}
  volumes:
  - {name: cache, emptyDir: {}}
  - {name: config, configMap: {name: c, optional: true}}
"#,
    );
    let spec = spec_of(&plan, &image()).unwrap();
    assert_like_containerd(&spec, PLAIN, |golden| {
        let namespaces = golden["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "cgroup"}));
    });
}

#[test]
fn a_privileged_container_is_specified_as_containerd_specifies_it() {
    let plan = plan(
        r#"
spec:
  shareProcessNamespace: true
  securityContext: {supplementalGroupsPolicy: Strict}
  containers:
  - name: main
    image: web:1
    command: [sh]
    tty: true
    stdin: true
    securityContext: {privileged: true, runAsUser: 0, runAsGroup: 0}
"#,
    );
    let spec = spec_of(&plan, &ImageConfig::default()).unwrap();
    assert_like_containerd(&spec, PRIVILEGED, |golden| {
        for set in ["bounding", "effective", "permitted"] {
            let caps = golden["process"]["capabilities"][set]
                .as_array_mut()
                .unwrap();
            caps.push(json!("CAP_SYS_RESOURCE"));
        }
    });
}

#[test]
fn a_confined_container_is_specified_as_containerd_specifies_it() {
    let plan = plan(
        r#"
spec:
  securityContext:
    supplementalGroupsPolicy: Strict
    supplementalGroups: [2000, 30]
    fsGroup: 20
    runAsUser: 65534
  containers:
  - name: main
    image: web:1
    workingDir: /tmp
    securityContext:
      runAsGroup: 65533
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: true
      procMount: Unmasked
      capabilities: {add: [SYS_ADMIN, NET_BIND_SERVICE], drop: [ALL]}
    volumeMounts:
    - {name: shm, mountPath: /dev/shm}
    - {name: etc, mountPath: /etc/hosts, subPath: hosts}
  volumes:
  - {name: shm, emptyDir: {medium: Memory}}
  - {name: etc, configMap: {name: etc}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: etc}
data: {hosts: 127.0.0.1 localhost}
"#,
    );
    let spec = spec_of(&plan, &image()).unwrap();
    assert_like_containerd(&spec, STRICT, |golden| {
        // The API server lets no_new_privs and SYS_ADMIN meet in no Pod.
        golden["process"]["noNewPrivileges"] = json!(false);
        let namespaces = golden["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({"type": "cgroup"}));
    });
}
