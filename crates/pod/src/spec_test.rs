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

/// A plan for a container with these fields in a Pod whose spec ends with these.
fn with(fields: &str, spec: &str) -> PodPlan {
    plan(&format!(
        "spec:\n  containers:\n  - {{name: main, image: \"web:1\", {fields}}}\n{spec}"
    ))
}

fn process(spec: &Spec) -> Json {
    json!(spec.process())
}

#[test]
fn command_and_args_follow_the_table_of_kubernetes() {
    let of = |fields: &str| {
        let args = spec_of(&with(fields, ""), &image()).unwrap();
        let args = args.process().as_ref().unwrap().args().clone().unwrap();
        args.join(" ")
    };
    assert_eq!(of(""), "/entry --flag serve");
    assert_eq!(of("args: [x]"), "/entry --flag x");
    assert_eq!(of("command: [c]"), "c");
    assert_eq!(of("command: [c], args: [x]"), "c x");
    assert_eq!(of("command: [], args: []"), "/entry --flag serve");

    let entrypoint = vec![String::new()];
    let only_cmd = ImageConfig {
        entrypoint,
        ..image()
    };
    let spec = spec_of(&with("", ""), &only_cmd).unwrap();
    assert_eq!(process(&spec)["args"], json!(["serve"]));
    let error = spec_of(&with("", ""), &ImageConfig::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "container \"main\": the image has no command; give one"
    );
}

#[test]
fn users_are_numbers_here_or_looked_up_in_the_guest() {
    let of = |fields: &str, pod: &str, user: &str| {
        let image = ImageConfig {
            user: user.to_owned(),
            ..image()
        };
        let plan = with(fields, &format!("  securityContext: {{{pod}}}\n"));
        spec_of(&plan, &image)
            .map(|spec| process(&spec)["user"].clone())
            .map_err(|error| error.to_string())
    };
    let user = |uid: u32, gid: u32, groups: &[u32], name: &str| {
        Ok(json!({ "uid": uid, "gid": gid, "additionalGids": groups, "username": name }))
    };
    assert_eq!(of("", "", ""), user(0, 0, &[], "0"));
    assert_eq!(of("", "", "app"), user(0, 0, &[], "app"));
    assert_eq!(
        of("", "fsGroup: 9", "app:staff"),
        user(0, 0, &[9], "app:staff")
    );
    assert_eq!(of("", "", "7:staff"), user(7, 0, &[], "7:staff"));
    assert_eq!(of("", "runAsUser: 5", "app"), user(5, 0, &[], "5"));
    assert_eq!(
        of("", "runAsUser: 5, runAsGroup: 6", "app"),
        user(5, 6, &[], "5:6")
    );
    assert_eq!(
        of("", "runAsGroup: 6", "app:staff"),
        user(0, 6, &[], "app:6")
    );
    assert_eq!(
        of(
            "securityContext: {runAsUser: 8}",
            "runAsUser: 5, supplementalGroups: [3, 2]",
            ""
        ),
        user(8, 0, &[2, 3], "8")
    );
    let strict = "supplementalGroupsPolicy: Strict";
    assert_eq!(
        of("", strict, "7:8"),
        Ok(json!({ "uid": 7, "gid": 8, "additionalGids": [8] }))
    );
    assert_eq!(of("", strict, "app:staff"), user(0, 0, &[], "app:staff"));
    assert!(
        of("", strict, "app")
            .unwrap_err()
            .contains("set runAsGroup")
    );
    for wrong in ["a:b:c", "-1", "99999999999", "0:-5", "a\nb"] {
        assert!(
            of("", "", wrong).unwrap_err().contains("is not a user"),
            "{wrong}"
        );
    }
}

#[test]
fn root_is_refused_where_it_is_forbidden() {
    let of = |user: &str| {
        let image = ImageConfig {
            user: user.to_owned(),
            ..image()
        };
        let plan = with("", "  securityContext: {runAsNonRoot: true}\n");
        spec_of(&plan, &image)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(of("1000"), Ok(()));
    assert!(
        of("")
            .unwrap_err()
            .contains("the image runs as root; set runAsUser")
    );
    assert!(of("0:5").unwrap_err().contains("the image runs as root"));
    assert!(
        of("app")
            .unwrap_err()
            .contains("\"app\" is not a number, so it may be root")
    );
    let plan = with(
        "",
        "  securityContext: {runAsNonRoot: true, runAsUser: 3}\n",
    );
    assert!(
        spec_of(
            &plan,
            &ImageConfig {
                user: "root".to_owned(),
                ..image()
            }
        )
        .is_ok()
    );
}

#[test]
fn mounts_reach_below_a_volume_and_never_out_of_it() {
    let volumes = "  volumes: [{name: v, emptyDir: {}}, {name: c, configMap: {name: c}}]\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {k: x}\n";
    let of = |env: &str, mount: &str| {
        let fields = format!(
            "env: [{{name: A, value: \"{env}\"}}], volumeMounts: [{{mountPath: /m, {mount}}}]"
        );
        let spec = spec_of(&with(&fields, volumes), &image()).map_err(|e| e.to_string())?;
        let mounts = spec.mounts().clone().unwrap();
        let mount = mounts
            .iter()
            .find(|m| m.destination() == Path::new("/m"))
            .unwrap();
        let source = mount.source().clone().unwrap();
        let base = "/pods/8d7e1c8a-6f0c-4d26-a9a7-0a4c7e0a6b55/volumes/kubernetes.io~";
        let below = source
            .strip_prefix("/")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let access = mount.options().as_ref().unwrap().last().unwrap().clone();
        Ok::<_, String>(format!(
            "{} {access}",
            format!("/{below}").strip_prefix(base).unwrap()
        ))
    };
    assert_eq!(of("", "name: v").unwrap(), "empty-dir/v rw");
    assert_eq!(of("", "name: v, readOnly: true").unwrap(), "empty-dir/v ro");
    assert_eq!(
        of("", "name: v, subPath: a/./b/").unwrap(),
        "empty-dir/v/a/b rw"
    );
    assert_eq!(
        of("x", "name: v, subPathExpr: logs/$(A)").unwrap(),
        "empty-dir/v/logs/x rw"
    );
    assert_eq!(of("", "name: c").unwrap(), "configmap/c ro");
    assert_eq!(of("", "name: c, subPath: k").unwrap(), "configmap/c/k ro");
    let error = of("", "name: c, subPath: gone").unwrap_err();
    assert!(
        error.ends_with("the mount on \"/m\": the volume has no \"gone\""),
        "{error}"
    );
    for escape in ["../x", "/etc", "a/../../b", ""] {
        let error = of(escape, "name: v, subPathExpr: $(A)").unwrap_err();
        assert!(
            error.contains("subPathExpr of the mount on \"/m\""),
            "{error}"
        );
    }
}

#[test]
fn seccomp_can_be_turned_off_and_what_is_asked_for_is_said() {
    let fields =
        "securityContext: {seccompProfile: {type: Unconfined}, allowPrivilegeEscalation: false}";
    let spec = json!(spec_of(&with(fields, ""), &image()).unwrap());
    assert_eq!(spec["linux"]["seccomp"], json!(null));
    assert_eq!(spec["process"]["noNewPrivileges"], json!(true));
    let spec = json!(spec_of(&with("", ""), &image()).unwrap());
    assert_eq!(spec["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");
}

#[test]
fn what_an_image_does_not_say_is_empty() {
    let read = |config: &str| {
        let start = r#"{"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}"#;
        let text = format!("{start}{config}}}");
        let image: oci_spec::image::ImageConfiguration = serde_json::from_str(&text).unwrap();
        ImageConfig::from(&image)
    };
    assert_eq!(read(""), ImageConfig::default());
    let nulls = r#", "config": {"User": null, "Env": null, "Cmd": ["a"], "Volumes": {"/x": {}}}"#;
    assert_eq!(read(nulls).cmd, ["a"]);
    let full = r#", "config": {"User": "u", "Env": ["A=b"], "Entrypoint": ["e"], "WorkingDir": "/w", "StopSignal": "SIGINT"}"#;
    let wanted = ImageConfig {
        user: "u".to_owned(),
        env: vec!["A=b".to_owned()],
        entrypoint: vec!["e".to_owned()],
        cmd: Vec::new(),
        working_dir: "/w".to_owned(),
        stop_signal: "SIGINT".to_owned(),
    };
    assert_eq!(read(full), wanted);
}
