use super::*;
use crate::image::ImageConfig;
use crate::spec::ContainerInput;

const HELLO: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: hello, labels: {app: hello}}
spec:
  containers:
  - name: main
    image: busybox:1.35
    command: [echo, "$(GREETING), $(WHO)!"]
    env:
    - {name: WHO, value: world}
    - {name: GREETING, valueFrom: {configMapKeyRef: {name: words, key: greeting}}}
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    resources: {limits: {cpu: 1500m, memory: 96Mi}}
    volumeMounts:
    - {name: config, mountPath: /etc/words}
  volumes:
  - {name: config, configMap: {name: words}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: words}
data: {greeting: Hello}
"#;

pub(crate) fn planned(text: &str, dir: &Path) -> PodPlan {
    let manifest = Manifest::parse(text.as_bytes(), "pod.yaml").unwrap_or_else(|e| panic!("{e}"));
    plan(
        &manifest,
        &PodContext {
            uid: "8d7e1c8a-6f0c-4d26-a9a7-0a4c7e0a6b55",
            pods_dir: &dir.join("pods"),
            sandbox_dir: &dir.join("sandbox"),
            log_dir: Path::new("/var/log/pods/hello"),
            cgroup_parent: "/skete/pod8d7e1c8a",
            node_name: "laptop",
            resolv_conf: "nameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch example.org\n",
        },
    )
    .unwrap()
}

#[test]
fn a_small_pod_becomes_what_a_runtime_is_handed() {
    let dir = tempfile::tempdir().unwrap();
    let plan = planned(HELLO, dir.path());
    assert_eq!((plan.size.vcpus, plan.size.memory_mib), (2, 96));
    assert_eq!(plan.restart_policy, RestartPolicy::Never);
    assert_eq!(plan.grace_period, Duration::from_secs(30));
    let resources = &plan.sandbox.linux.resources;
    assert_eq!(
        (resources.cpu_quota, resources.cpu_period),
        (150_000, 100_000)
    );
    assert_eq!(resources.memory_limit_in_bytes, 96 << 20);
    assert_eq!(Size::of_sandbox(&plan.sandbox), Ok(plan.size));
    assert_eq!(plan.sandbox.hostname, "hello");

    let addresses = Addresses {
        pod: &["10.88.0.7".parse().unwrap()],
        host: &[],
    };
    plan.write_volumes().unwrap();
    plan.write_etc_files(&addresses).unwrap();
    let volume = plan.dir().join("volumes/kubernetes.io~configmap/config");
    assert_eq!(
        std::fs::read_to_string(volume.join("greeting")).unwrap(),
        "Hello"
    );
    let hosts = std::fs::read_to_string(plan.dir().join("etc-hosts")).unwrap();
    assert!(hosts.contains("10.88.0.7\thello\n"), "{hosts}");
    let resolv = std::fs::read_to_string(dir.path().join("sandbox/resolv.conf")).unwrap();
    assert_eq!(resolv, "search example.org\nnameserver 192.0.2.53\n");

    let spec = plan.containers[0]
        .spec(&ContainerInput {
            image: &ImageConfig::default(),
            image_name: "docker.io/library/busybox:1.35",
            sandbox_id: "s1",
            container_id: "c1",
            sandbox_pid: 42,
            addresses,
        })
        .unwrap();
    let process = spec.process().as_ref().unwrap();
    assert_eq!(process.args().as_ref().unwrap(), &["echo", "Hello, world!"]);
    let env = process.env().as_ref().unwrap();
    assert!(env.contains(&"IP=10.88.0.7".to_owned()), "{env:?}");
    let mounts = spec.mounts().as_ref().unwrap();
    let mount = mounts
        .iter()
        .find(|m| m.destination() == Path::new("/etc/words"));
    assert_eq!(mount.unwrap().source().as_ref().unwrap(), &volume);
}

#[test]
fn volumes_of_every_kind_are_written_and_updated() {
    let text = |greeting: &str| {
        format!(
            r#"
apiVersion: v1
kind: Pod
metadata: {{name: web, labels: {{app: w, tier: "1"}}}}
spec:
  containers:
  - name: main
    image: web:1
    resources: {{limits: {{memory: 64Mi}}}}
    envFrom: [{{secretRef: {{name: s}}}}]
  volumes:
  - {{name: map, configMap: {{name: c, items: [{{key: greeting, path: a/b, mode: 0400}}]}}}}
  - {{name: hidden, secret: {{secretName: s, defaultMode: 0440}}}}
  - name: down
    downwardAPI:
      items:
      - {{path: labels, fieldRef: {{fieldPath: metadata.labels}}}}
      - {{path: mem, resourceFieldRef: {{containerName: main, resource: limits.memory, divisor: 1Mi}}}}
  - name: all
    projected:
      sources:
      - configMap: {{name: c}}
      - secret: {{name: s, items: [{{key: token, path: deep/token}}]}}
      - secret: {{name: gone, optional: true}}
      - downwardAPI: {{items: [{{path: uid, fieldRef: {{fieldPath: metadata.uid}}}}]}}
  - {{name: disk, emptyDir: {{}}}}
  - {{name: ram, emptyDir: {{medium: Memory, sizeLimit: 1Mi}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: c}}
data: {{greeting: "{greeting}"}}
binaryData: {{bytes: AAE=}}
---
apiVersion: v1
kind: Secret
metadata: {{name: s}}
stringData: {{token: sesame}}
"#
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let plan = planned(&text("hello"), dir.path());
    plan.write_volumes().unwrap();
    let read = |path: &str| std::fs::read(plan.dir().join("volumes").join(path)).unwrap();
    assert_eq!(read("kubernetes.io~configmap/map/a/b"), b"hello");
    assert_eq!(read("kubernetes.io~secret/hidden/token"), b"sesame");
    assert_eq!(
        read("kubernetes.io~downward-api/down/labels"),
        b"app=\"w\"\ntier=\"1\""
    );
    assert_eq!(read("kubernetes.io~downward-api/down/mem"), b"64");
    assert_eq!(read("kubernetes.io~projected/all/greeting"), b"hello");
    assert_eq!(read("kubernetes.io~projected/all/bytes"), [0, 1]);
    assert_eq!(read("kubernetes.io~projected/all/deep/token"), b"sesame");
    assert_eq!(
        read("kubernetes.io~projected/all/uid"),
        plan.sandbox.metadata.uid.as_bytes()
    );
    assert!(
        plan.dir()
            .join("volumes/kubernetes.io~empty-dir/disk")
            .is_dir()
    );
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode(plan.dir()), 0o700, "secrets are behind it");
    let token = plan.dir().join("volumes/kubernetes.io~secret/hidden/token");
    assert_eq!(mode(&token), 0o440);
    assert!(
        !format!("{plan:?}").contains("sesame"),
        "secrets stay out of logs"
    );

    let annotations = &plan.sandbox.annotations;
    let ram: EmptyDir = serde_json::from_str(&annotations["io.skete.empty-dir/ram"]).unwrap();
    assert_eq!(
        ram,
        EmptyDir {
            memory: true,
            size_limit: Some(1 << 20)
        }
    );
    assert!(!annotations.contains_key("io.skete.empty-dir/disk"));

    planned(&text("changed"), dir.path())
        .write_volumes()
        .unwrap();
    assert_eq!(read("kubernetes.io~configmap/map/a/b"), b"changed");
}

#[test]
fn the_pods_own_settings_are_carried() {
    let text = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, annotations: {io.skete.network: none}}
spec:
  restartPolicy: OnFailure
  terminationGracePeriodSeconds: 5
  activeDeadlineSeconds: 60
  initContainers:
  - {name: first, image: "a:1", imagePullPolicy: Never, resources: {limits: {ephemeral-storage: 1Mi}}}
  - {name: beside, image: "b:1", restartPolicy: Always, resources: {limits: {ephemeral-storage: 2Mi}}}
  containers:
  - {name: main, image: c, stdin: true, stdinOnce: true, tty: true, resources: {limits: {ephemeral-storage: 4Mi}}}
"#;
    let dir = tempfile::tempdir().unwrap();
    let plan = planned(text, dir.path());
    assert_eq!(plan.restart_policy, RestartPolicy::OnFailure);
    assert_eq!(plan.grace_period, Duration::from_secs(5));
    assert_eq!(plan.active_deadline, Some(Duration::from_secs(60)));
    assert_eq!(plan.network.as_deref(), Some("none"));
    let roles: Vec<_> = plan
        .all_containers()
        .map(|c| (c.name.as_str(), c.role))
        .collect();
    assert_eq!(
        roles,
        [
            ("first", Role::Init),
            ("beside", Role::Sidecar),
            ("main", Role::Main)
        ]
    );
    let policies: Vec<_> = plan.all_containers().map(|c| c.pull_policy).collect();
    use PullPolicy::{Always, IfNotPresent, Never};
    assert_eq!(policies, [Never, IfNotPresent, Always]);
    let main = &plan.containers[0];
    assert!(main.stdin && main.stdin_once && main.tty);
    assert_eq!(plan.ephemeral_storage, Some(7 << 20));
    assert_eq!(
        plan.sandbox.annotations["io.skete.ephemeral-storage-bytes"],
        "7340032"
    );
}
