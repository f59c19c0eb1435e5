//! Whatever a file says, it is read, refused with single lines, or planned; nothing panics.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::path::Path;

use proptest::prelude::*;
use skete_pod::{Addresses, ContainerInput, ImageConfig, Manifest, PodContext, plan};

const FILE: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: web, labels: &labels {app: web}, annotations: {io.skete.memory: 96Mi}}
spec:
  restartPolicy: OnFailure
  initContainers:
  - {name: prepare, image: "web:1", restartPolicy: Always}
  containers:
  - name: main
    image: web:1
    command: ["sh", "-c", "echo $(A) $$(B)"]
    env:
    - {name: A, value: "1"}
    - {name: B, valueFrom: {configMapKeyRef: {name: c, key: k}}}
    - {name: C, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
    - {name: D, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}}
    envFrom: [{prefix: X_, secretRef: {name: s}}]
    ports: [{containerPort: 80, hostPort: 8080, hostIP: "127.0.0.1"}]
    resources:
      limits: {cpu: 500m, memory: 64Mi}
      requests: {cpu: 0.25}
    securityContext:
      runAsUser: 1000
      capabilities: {add: [NET_ADMIN], drop: [ALL]}
    volumeMounts:
    - {name: config, mountPath: /etc/config, subPath: d/k}
    - {name: tmp, mountPath: /tmp, subPathExpr: "$(A)"}
  volumes:
  - name: config
    projected:
      defaultMode: 0440
      sources:
      - configMap: {name: c, items: [{key: k, path: d/k, mode: 0600}]}
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
  - {name: tmp, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, labels: {app: web}}
data: {k: v}
---
apiVersion: v1
kind: Secret
metadata: {name: s}
data: {password: cGFzcw==}
"#;

/// Plans and specifies what was not refused.
fn run(bytes: &[u8]) {
    let manifest = match Manifest::parse(bytes, "pod.yaml") {
        Ok(manifest) => manifest,
        Err(error) => {
            let text = error.to_string();
            assert!(!text.is_empty());
            for line in text.lines() {
                let known = line.starts_with("pod.yaml") || line.starts_with("and ");
                assert!(
                    known && !line.contains(|c: char| c.is_control()),
                    "{line:?}"
                );
            }
            return;
        }
    };
    let json = manifest.to_json().to_string();
    let again = Manifest::parse(json.as_bytes(), "again").unwrap();
    assert_eq!(again, manifest);
    let context = PodContext {
        uid: "u",
        pods_dir: Path::new("/pods"),
        sandbox_dir: Path::new("/sandbox"),
        log_dir: Path::new("/log"),
        cgroup_parent: "/skete",
        node_name: "node",
        resolv_conf: "",
    };
    let Ok(plan) = plan(&manifest, &context) else {
        return;
    };
    assert!(plan.size.vcpus > 0 && plan.size.memory_mib > 0);
    for container in plan.all_containers() {
        let image = ImageConfig {
            cmd: vec!["x".to_owned()],
            ..Default::default()
        };
        let input = ContainerInput {
            image: &image,
            image_name: "web:1",
            sandbox_id: "s",
            container_id: "c",
            sandbox_pid: 1,
            addresses: Addresses::default(),
        };
        if let Ok(spec) = container.spec(&input) {
            let mounts = spec.mounts().as_ref().unwrap().iter();
            let sources = mounts.filter(|m| m.typ().as_deref() == Some("bind"));
            for source in sources.filter_map(|mount| mount.source().as_ref()) {
                assert!(source.starts_with("/pods/u") || source.starts_with("/sandbox"));
                assert!(
                    !source.components().any(|c| c.as_os_str() == ".."),
                    "{source:?}"
                );
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Edit {
    Insert(usize, String),
    Remove(usize, usize),
    RepeatLine(usize, usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let piece = prop_oneof![
        "[ -~]{1,4}",
        "[\\[\\]{}:,&*!|>'\"%@`#\n\t -]{1,3}",
        Just("&a ".to_owned()),
        Just("*labels".to_owned()),
        Just("<<: ".to_owned()),
        Just("null".to_owned()),
        Just("..".to_owned()),
        Just("9999999999999999999999".to_owned()),
        Just("\u{1b}[31mü\0".to_owned()),
    ];
    let edit = prop_oneof![
        (any::<usize>(), piece).prop_map(|(at, text)| Edit::Insert(at, text)),
        (any::<usize>(), 1..12usize).prop_map(|(at, n)| Edit::Remove(at, n)),
        (any::<usize>(), any::<usize>()).prop_map(|(from, to)| Edit::RepeatLine(from, to)),
    ];
    proptest::collection::vec(edit, 1..5)
}

fn apply(text: &str, edits: &[Edit]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for edit in edits {
        let len = chars.len().max(1);
        match edit {
            Edit::Insert(at, text) => {
                let at = at % len;
                chars.splice(at..at, text.chars());
            }
            Edit::Remove(at, n) => {
                let at = at % len;
                let end = (at + n).min(chars.len());
                chars.drain(at.min(end)..end);
            }
            Edit::RepeatLine(from, to) => {
                let text: String = chars.iter().collect();
                let mut lines: Vec<&str> = text.lines().collect();
                if lines.is_empty() {
                    continue;
                }
                let line = lines[from % lines.len()];
                lines.insert(to % lines.len(), line);
                chars = lines.join("\n").chars().collect();
            }
        }
    }
    chars.into_iter().collect()
}

#[test]
fn the_file_itself_is_planned() {
    assert!(Manifest::parse(FILE.as_bytes(), "pod.yaml").is_ok());
    run(FILE.as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(400)
    })]

    #[test]
    fn an_edited_file_is_refused_or_planned(edits in edits()) {
        run(apply(FILE, &edits).as_bytes());
    }

    #[test]
    fn any_bytes_are_refused_or_planned(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        run(&bytes);
    }
}
