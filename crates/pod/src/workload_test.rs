use super::*;

fn parse(text: &str) -> Workloads {
    Workloads::parse(text.as_bytes(), "w.yaml").unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> String {
    Workloads::parse(text.as_bytes(), "w.yaml")
        .unwrap_err()
        .to_string()
}

/// The one workload of a text.
fn one(text: &str) -> Workload {
    let found = parse(text);
    assert_eq!(found.workloads.len(), 1, "{found:?}");
    found.workloads.into_iter().next().unwrap()
}

const TEMPLATE: &str = r#"
  template:
    metadata: {labels: {app: web}}
    spec:
      volumes: [{name: data, hostPath: {path: /data}}]
      initContainers:
      - {name: init, image: a, resources: {requests: {cpu: "2"}}}
      containers:
      - name: web
        image: b
        livenessProbe: {httpGet: {port: 80}}
        resources: {requests: {cpu: 250m, memory: 512Mi}, limits: {cpu: 1500m, memory: 1Gi, ephemeral-storage: 2Gi}}
      - {name: proxy, image: c, resources: {limits: {cpu: 500m, memory: 128Mi, ephemeral-storage: 1Gi, nvidia.com/gpu: 1}}}
"#;

#[test]
fn the_pods_of_a_deployment_are_sized_as_the_engine_does_it() {
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: team-a}}\n\
         spec:\n  replicas: 3\n  selector: {{matchLabels: {{app: web}}}}{TEMPLATE}"
    );
    let web = one(&text);
    assert_eq!(web.pods, PodCount::Fixed(3));
    assert_eq!(
        (web.name.as_str(), web.namespace.as_str()),
        ("web", "team-a")
    );
    assert_eq!(web.labels["app"], "web");
    // The init container asks for more CPU than the others together; a limit is a request where
    // there is no other.
    let requests = Resources {
        milli_vcpus: 2000,
        memory_bytes: 640 << 20,
        storage_bytes: 3 << 30,
        gpus: 1,
    };
    assert_eq!(web.requests, requests);
    assert_eq!(web.limits.memory_bytes, 1152 << 20);
    // The init container has no limits: a vCPU and 512 MiB for those without, and 48 MiB for the
    // guest.
    let provisioned = Resources {
        milli_vcpus: 3000,
        memory_bytes: (1152 + 512 + 48) << 20,
        storage_bytes: 10 << 30,
        gpus: 1,
    };
    assert_eq!(web.provisioned, provisioned);
}

#[test]
fn every_kind_that_makes_pods_is_read_and_others_are_named() {
    let object = |kind: &str, spec: &str| {
        format!("---\nkind: {kind}\nmetadata: {{name: x}}\nspec:{spec}{TEMPLATE}")
    };
    let pod = "---\nkind: Pod\nmetadata: {generateName: p-}\nspec: {containers: [{name: a}]}\n";
    let cron = "---\nkind: CronJob\nmetadata: {name: c}\nspec:\n  schedule: '* * * * *'\n  \
                jobTemplate: {spec: {parallelism: 2, template: {spec: {containers: [{name: a}]}}}}\n";
    let text = [
        object("StatefulSet", ""),
        object("ReplicaSet", "\n  replicas: 0"),
        object("DaemonSet", ""),
        object("Job", "\n  parallelism: 5\n  completions: 3"),
        cron.to_owned(),
        pod.to_owned(),
        "---\nkind: Service\n---\nkind: Service\n---\nkind: Secret\n".to_owned(),
    ];
    let found = parse(&text.concat());
    let pods: Vec<_> = found
        .workloads
        .iter()
        .map(|w| (w.kind.as_str(), w.pods))
        .collect();
    let expected = [
        ("StatefulSet", PodCount::Fixed(1)),
        ("ReplicaSet", PodCount::Fixed(0)),
        ("DaemonSet", PodCount::PerNode),
        ("Job", PodCount::Fixed(3)),
        ("CronJob", PodCount::Fixed(2)),
        ("Pod", PodCount::Fixed(1)),
    ];
    assert_eq!(pods, expected);
    assert_eq!(found.workloads[5].name, "p-");
    assert_eq!(found.others, ["Service", "Secret"]);
    let list = r#"{"kind": "List", "items": [{"kind": "Pod", "spec": {"containers": [{}]}}]}"#;
    assert_eq!(one(list).provisioned.memory_bytes, 560 << 20);
}

#[test]
fn annotations_of_the_pod_decide_on_its_size() {
    let text = "kind: Pod\nmetadata: {name: a, annotations: {io.skete.vcpus: '4', io.skete.memory: 2Gi}}\n\
                spec: {containers: [{name: a}]}";
    let provisioned = one(text).provisioned;
    assert_eq!(provisioned.milli_vcpus, 4000);
    assert_eq!(provisioned.memory_bytes, (2048 + 48) << 20);
    let wrong = text.replace("2Gi", "lots");
    assert_eq!(
        refused(&wrong),
        "w.yaml:1: \"lots\" is not an amount of memory as 512Mi"
    );
}

#[test]
fn what_would_make_an_estimate_wrong_is_told_with_line_and_path() {
    let pod = "kind: Pod\nspec:\n  containers:\n  - name: a\n    resources:\n      requests: ";
    assert_eq!(
        refused(&format!("{pod}{{memory: 64Mb}}")),
        "w.yaml:6: spec.containers[0].resources.requests.memory: \"64Mb\" is not a quantity; write \
         64Mi or 64M"
    );
    assert_eq!(
        refused("kind: Deployment\nspec:\n  replicas: -1\n  template: {spec: {containers: []}}"),
        "w.yaml:3: spec.replicas: -1 is out of range; it has to be at least 0"
    );
    assert_eq!(
        refused("kind: Job\nspec: {}\n"),
        "w.yaml:2: spec.template: is missing"
    );
    assert!(refused("a: b").starts_with("w.yaml:1: kind: is missing"));
    let list = "kind: List\nitems:\n- kind: Pod\n  spec: {}\n";
    assert_eq!(
        refused(list),
        "w.yaml:4: items[0].spec.containers: is missing"
    );
}
