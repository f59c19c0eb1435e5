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
