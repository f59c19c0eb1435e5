use super::*;

fn parse(text: &str) -> Result<Manifest, String> {
    Manifest::parse(text.as_bytes(), "pod.yaml").map_err(|error| error.to_string())
}

fn refused(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("should be refused:\n{text}"),
        Err(message) => message,
    }
}

/// A Pod whose only container has `fields` and whose spec ends with `spec`.
fn pod(fields: &str, spec: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  containers:\n  - name: main\n    image: web:1\n{}{}",
        fields
            .lines()
            .map(|l| format!("    {l}\n"))
            .collect::<String>(),
        spec.lines().map(|l| format!("  {l}\n")).collect::<String>(),
    )
}

#[test]
fn defaults_are_those_of_the_api_server_but_for_the_restart_policy() {
    let manifest = parse(
        r#"
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  initContainers:
  - {name: prepare, image: "web@sha256:0"}
  containers:
  - name: main
    image: registry:5000/web
    ports: [{containerPort: 80}]
    resources: {limits: {memory: 64Mi, cpu: 0.5}, requests: {cpu: 100m}}
  - {name: other, image: "web:1"}
  volumes:
  - {name: none}
  - {name: map, configMap: {name: m, optional: true}}
"#,
    )
    .unwrap();
    let pod = manifest.pod;
    assert_eq!(pod.metadata.namespace.as_deref(), Some("default"));
    let spec = pod.spec.unwrap();
    assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
    assert_eq!(spec.dns_policy.as_deref(), Some("ClusterFirst"));
    assert_eq!(spec.termination_grace_period_seconds, Some(30));
    let policies = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    let policies: Vec<_> = policies
        .map(|c| c.image_pull_policy.clone().unwrap())
        .collect();
    assert_eq!(policies, ["IfNotPresent", "Always", "IfNotPresent"]);
    let main = &spec.containers[0];
    assert_eq!(
        main.ports.as_ref().unwrap()[0].protocol.as_deref(),
        Some("TCP")
    );
    let requests = main.resources.clone().unwrap().requests.unwrap();
    assert_eq!(
        (requests["memory"].0.as_str(), requests["cpu"].0.as_str()),
        ("64Mi", "100m")
    );
    let volumes = spec.volumes.unwrap();
    assert!(volumes[0].empty_dir.is_some());
    assert_eq!(
        volumes[1].config_map.as_ref().unwrap().default_mode,
        Some(0o644)
    );
}

#[test]
fn what_is_wrong_is_named_with_file_line_and_path() {
    let table = [
        (
            "resources: {limits: {memory: 64Mo}}",
            "pod.yaml:8: spec.containers[0].resources.limits.memory: \"64Mo\" is not a quantity; write 64Mi or 64M",
        ),
        (
            "imagePullpolicy: Always",
            "pod.yaml:8: spec.containers[0].imagePullpolicy: unknown field; did you mean imagePullPolicy?",
        ),
        (
            "imagePullPolicy: always",
            "pod.yaml:8: spec.containers[0].imagePullPolicy: \"always\" is not one of Always, IfNotPresent, Never; did you mean Always?",
        ),
        (
            "ports:\n- containerPort: \"80\"",
            "pod.yaml:9: spec.containers[0].ports[0].containerPort: expected a whole number, found \"80\"; write it without quotes",
        ),
        (
            "ports:\n- containerPort: 65536",
            "pod.yaml:9: spec.containers[0].ports[0].containerPort: 65536 is out of range; it has to be between 1 and 65535",
        ),
        (
            "ports: [{containerPort: 80.5}]",
            "pod.yaml:8: spec.containers[0].ports[0].containerPort: 80.5 is not a whole number",
        ),
        (
            "env:\n- name: A\n  value: 1",
            "pod.yaml:10: spec.containers[0].env[0].value: expected text, found the number 1; put it in quotes",
        ),
        (
            "env:\n- name: A\n  value: yes",
            "pod.yaml:10: spec.containers[0].env[0].value: expected text, found true; put it in quotes",
        ),
        (
            "env: {A: b}",
            "pod.yaml:8: spec.containers[0].env: expected a list, found a map",
        ),
        (
            "env: [{value: b}]",
            "pod.yaml:8: spec.containers[0].env[0].name: is missing",
        ),
        (
            "tty: \"true\"",
            "pod.yaml:8: spec.containers[0].tty: expected true or false, found \"true\"; write it without quotes",
        ),
        (
            "livenessProbe: {exec: {command: [x]}}",
            "pod.yaml:8: spec.containers[0].livenessProbe: not honoured yet; leave it out",
        ),
        (
            "volumeMounts: [{name: a, mountPath: /a}]",
            "pod.yaml:8: spec.containers[0].volumeMounts[0].name: there is no volume \"a\" in spec.volumes",
        ),
        (
            "env: [{name: A, valueFrom: {configMapKeyRef: {name: c, key: k}}}]",
            "pod.yaml:8: spec.containers[0].env[0].valueFrom.configMapKeyRef: ConfigMap \"c\" is not in the file; put it beside the Pod, or say optional: true",
        ),
        (
            "env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.nam}}}]",
            "pod.yaml:8: spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: \"metadata.nam\" is not a field that can be asked for; metadata.name, .namespace, .uid, .labels['KEY'], .annotations['KEY'], spec.nodeName, spec.serviceAccountName, status.podIP, .podIPs, .hostIP, .hostIPs can",
        ),
        (
            "resources: {limits: {memory: 512m}}",
            "pod.yaml:8: spec.containers[0].resources.limits.memory: not a whole number of bytes; \"m\" means thousandths, \"Mi\" and \"M\" mean megabytes",
        ),
        (
            "resources: {limits: {cpu: 1}, requests: {cpu: 2}}",
            "pod.yaml:8: spec.containers[0].resources.requests.cpu: 2 is more than the limit 1",
        ),
        (
            "resources: {limits: {nvidia.com/gpu: 1}}",
            "pod.yaml:8: spec.containers[0].resources.limits[\"nvidia.com/gpu\"]: not honoured yet; cpu, memory and, for a container, ephemeral-storage are",
        ),
        (
            "securityContext: {runAsUser: -1}",
            "pod.yaml:8: spec.containers[0].securityContext.runAsUser: -1 is out of range; it has to be between 0 and 2147483647",
        ),
        (
            "securityContext: {capabilities: {add: [NET_ADMINN]}}",
            "pod.yaml:8: spec.containers[0].securityContext.capabilities.add[0]: \"NET_ADMINN\" is not a capability; NET_ADMIN and SYS_PTRACE are two, ALL is all of them",
        ),
        (
            "securityContext: {privileged: true, allowPrivilegeEscalation: false}",
            "pod.yaml:8: spec.containers[0].securityContext.allowPrivilegeEscalation: cannot be false for a privileged container",
        ),
        (
            "restartPolicy: Always",
            "pod.yaml:8: spec.containers[0].restartPolicy: is for initContainers; the Pod's spec.restartPolicy is for the others",
        ),
        (
            "terminationMessagePath: /tmp/x",
            "pod.yaml:8: spec.containers[0].terminationMessagePath: \"/tmp/x\" is not supported, /dev/termination-log is: termination messages are not honoured yet",
        ),
    ];
    for (fields, message) in table {
        assert_eq!(refused(&pod(fields, "")), message);
    }
}

#[test]
fn what_is_wrong_with_the_pod_as_a_whole_is_named_too() {
    let table = [
        (
            "hostNetwork: true",
            "pod.yaml:8: spec.hostNetwork: refused: nothing of the host is shared with a microVM; publish ports with containers[].ports[].hostPort",
        ),
        (
            "volumes: [{name: a, hostPath: {path: /etc}}]",
            "pod.yaml:8: spec.volumes[0].hostPath: refused: nothing of the host is shared with a microVM; put the files into a ConfigMap, a Secret or the image, or use emptyDir",
        ),
        (
            "volumes: [{name: a, emptyDir: {}, secret: {secretName: s, optional: true}}]",
            "pod.yaml:8: spec.volumes[0]: needs exactly one of emptyDir, configMap, secret, downwardAPI, projected",
        ),
        (
            "volumes:\n- {name: a}\n- {name: a}",
            "pod.yaml:10: spec.volumes[1].name: a second volume \"a\"",
        ),
        (
            "volumes: [{name: a, configMap: {name: c}}]",
            "pod.yaml:8: spec.volumes[0].configMap: ConfigMap \"c\" is not in the file; put it beside the Pod, or say optional: true",
        ),
        (
            "volumes: [{name: a, configMap: {name: c, optional: true, defaultMode: 0888}}]",
            "pod.yaml:8: spec.volumes[0].configMap.defaultMode: 0888 is out of range; it has to be an octal mode between 0 and 0777",
        ),
        (
            "volumes: [{name: a, downwardAPI: {items: [{path: ../x, fieldRef: {fieldPath: metadata.name}}]}}]",
            "pod.yaml:8: spec.volumes[0].downwardAPI.items[0].path: \"../x\" must not contain \"..\"",
        ),
        (
            "volumes: [{name: a, projected: {sources: [{serviceAccountToken: {path: t}}]}}]",
            "pod.yaml:8: spec.volumes[0].projected.sources[0].serviceAccountToken: refused: there is no API server here to talk to; leave it out",
        ),
        (
            "initContainers: [{name: main, image: x}]",
            "pod.yaml:5: spec.containers[0].name: a second container \"main\"",
        ),
        (
            "restartPolicy: OnFail",
            "pod.yaml:8: spec.restartPolicy: \"OnFail\" is not one of Always, OnFailure, Never; did you mean OnFailure?",
        ),
        (
            "dnsPolicy: None",
            "pod.yaml:4: spec.dnsConfig.nameservers: needs at least one address, for dnsPolicy is None",
        ),
        (
            "runtimeClassName: gvisor",
            "pod.yaml:8: spec.runtimeClassName: \"gvisor\" is not supported, skete is: the only RuntimeClass here is skete",
        ),
        (
            "securityContext: {runAsNonRoot: true, runAsUser: 0}",
            "pod.yaml:6: spec.containers[0].securityContext: runAsUser is 0, and runAsNonRoot forbids that",
        ),
        (
            "hostAliases: [{ip: nowhere}]",
            "pod.yaml:8: spec.hostAliases[0].ip: \"nowhere\" is not an IP address",
        ),
        (
            "activeDeadlineSeconds: 0",
            "pod.yaml:8: spec.activeDeadlineSeconds: 0 is out of range; it has to be between 1 and 2147483647",
        ),
    ];
    for (spec, message) in table {
        let refused = refused(&pod("", spec));
        if spec.starts_with("initContainers") {
            // The line is that of the container, wherever the file has it.
            assert!(
                refused.contains("containers[0].name: a second container"),
                "{refused}"
            );
        } else {
            assert_eq!(refused, message);
        }
    }
}

#[test]
fn files_that_hold_no_pod_are_told_apart() {
    let web = pod("", "");
    let table = [
        (String::new(), "pod.yaml: there is no Pod in it"),
        ("# nothing\n".to_owned(), "pod.yaml: there is no Pod in it"),
        (
            "- a\n".to_owned(),
            "pod.yaml:1: expected a Kubernetes object, found no map",
        ),
        (
            "a: 1\n".to_owned(),
            "pod.yaml:1: kind: is missing; a Pod begins with apiVersion: v1 and kind: Pod",
        ),
        (
            "kind: Deployment\n".to_owned(),
            "pod.yaml:1: kind: \"Deployment\" is not one of Pod, ConfigMap, Secret, List",
        ),
        (
            format!("{web}---\n{web}"),
            "pod.yaml:9: a second Pod; one file runs one Pod",
        ),
        ("a: [\n".to_owned(), "pod.yaml:2: not YAML: "),
        (
            "{\"a\": 1,}\n".to_owned(),
            "pod.yaml:1: not JSON: trailing comma",
        ),
        (
            web.replace("v1\n", "v2\n"),
            "pod.yaml:1: apiVersion: \"v2\" is not supported, v1 is: a Pod is of v1",
        ),
        (
            format!(
                "{web}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c, namespace: x}}\n"
            ),
            "pod.yaml:9: ConfigMap \"c\" is in namespace \"x\", the Pod in \"default\"",
        ),
        (
            format!(
                "{web}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{k: 1}}\n"
            ),
            "pod.yaml:12: data.k: expected text, found the number 1; put it in quotes",
        ),
        (
            format!(
                "{web}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: c}}\ndata: {{k: pass word}}\n"
            ),
            "pod.yaml:12: data.k: is not base64; a Secret's plain text goes into stringData",
        ),
        (
            format!(
                "{web}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{../n: x}}\n"
            ),
            "pod.yaml:12: data[\"../n\"]: \"../n\" is not a key;",
        ),
    ];
    for (text, message) in table {
        let refused = refused(&text);
        assert!(
            refused.starts_with(message),
            "{refused}\nexpected {message}"
        );
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_boundedly() {
    let two = refused(&pod("tty: 1\nstdin: 2", ""));
    assert_eq!(two.lines().count(), 2, "{two}");
    let many: String = (0..1000).map(|i| format!("x{i}: 1\n")).collect();
    let many = refused(&pod(&many, ""));
    assert_eq!(many.lines().count(), 21);
    assert!(many.ends_with("and 980 more"), "{many}");
}

#[test]
fn a_message_stays_one_line_whatever_the_file_says() {
    let table = [
        "\"a\\nb\": 1",
        "imagePullPolicy: \"a\\n\\e[31mb\"",
        "env: [{name: \"a\\nb\"}]",
        "resources: {limits: {memory: \"1\\n2\"}}",
        "resources: {limits: {\"a\\nb\": 1}}",
        "securityContext: {capabilities: {add: [\"a\\nb\"]}}",
        "workingDir: \"a\\0\"",
        "volumeMounts: [{name: a, mountPath: \"/a:\\n\"}]",
    ];
    for fields in table {
        for line in refused(&pod(fields, "")).split('\n') {
            assert!(line.starts_with("pod.yaml:"), "{fields}: {line:?}");
            assert!(!line.contains('\u{1b}'), "{line:?}");
        }
    }
}

#[test]
fn lists_config_maps_and_secrets_are_read_from_yaml_and_json() {
    let yaml = r#"
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Secret
  metadata: {name: s}
  data: {a: "aGVs\nbG8="}
  stringData: {b: plain}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: c}
  data: {k: v}
  binaryData: {b: AAE=}
- apiVersion: v1
  kind: Pod
  metadata: {generateName: web-, creationTimestamp: null}
  spec: {containers: [{name: main, image: "web:1"}]}
  status: {phase: Pending}
"#;
    let manifest = parse(yaml).unwrap();
    let name = manifest.pod.metadata.name.clone().unwrap();
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
    let secret = manifest.secrets["s"].data.clone().unwrap();
    assert_eq!(
        (&secret["a"].0[..], &secret["b"].0[..]),
        (&b"hello"[..], &b"plain"[..])
    );
    assert_eq!(
        manifest.config_maps["c"].binary_data.clone().unwrap()["b"].0,
        [0, 1]
    );

    let json = manifest.to_json().to_string();
    assert_eq!(parse(&json).unwrap(), manifest);
}

#[test]
fn annotations_of_our_own_are_checked() {
    let annotated = |annotation: &str| {
        pod("", "").replace(
            "{name: web}",
            &format!("{{name: web, annotations: {{{annotation}}}}}"),
        )
    };
    assert!(parse(&annotated("io.skete.vcpus: \"2\", io.skete.memory: 1Gi, io.skete.network: none, io.skete.user/main: app")).is_ok());
    let table = [
        (
            "io.skete.vcpus: two",
            "\"two\" is not a whole number of CPUs, 1 at least",
        ),
        (
            "io.skete.memory: much",
            "\"much\" is not an amount of memory as 512Mi",
        ),
        (
            "io.skete.network: host",
            "\"host\" is not one of default, none",
        ),
        (
            "io.skete.user/other: app",
            "there is no container \"other\"",
        ),
        ("io.skete.cpus: \"2\"", "unknown annotation of Skete's"),
    ];
    for (annotation, message) in table {
        let refused = refused(&annotated(annotation));
        assert!(
            refused.starts_with("pod.yaml:3: metadata.annotations[\"io.skete."),
            "{refused}"
        );
        assert!(refused.ends_with(message), "{refused}");
    }
}
