//! What people run on a cluster, in VMs.

use std::time::Duration;

use crate::cluster::{AGNHOST, BUSYBOX, Namespace, cluster, deployment, eventually, pod};

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_pod_runs_in_a_vm_of_its_own_and_nobody_notices() {
    let space = Namespace::new("plain");
    space.apply(&pod(
        "one",
        "echo hello; sleep 1000",
        "",
        &format!("image: {AGNHOST}"),
    ));
    let object = space.ready("one");
    assert_eq!(object["status"]["qosClass"], "BestEffort");
    assert_eq!(space.kubectl(&["logs", "one"]), "hello\n");
    let kernel = space.exec("one", "uname -r");
    assert!(kernel.contains("-skete"), "{kernel}");
    assert_eq!(space.exec("one", "hostname"), "one\n");
    let ip = object["status"]["podIP"].as_str().unwrap();
    assert!(space.exec("one", "ip -4 address show eth0").contains(ip));
    // The API server's address reaches it through the Pod's own veth and kube-proxy's rules.
    let token = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    space.exec("one", &format!("test -s {token}"));
    let server = "curl -sk --retry 5 https://kubernetes.default.svc/version";
    assert!(space.exec("one", server).contains("gitVersion"));
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_deployment_behind_a_service_is_rolled_over() {
    let space = Namespace::new("rollout");
    let rolled = |version: &str| {
        let script =
            format!("mkdir /www; echo {version} > /www/index.html; httpd -f -p 80 -h /www");
        deployment(
            "web",
            "replicas: 2",
            &format!(
                "command: [sh, -c, '{script}']\n\
                 readinessProbe: {{httpGet: {{port: 80, path: /}}, periodSeconds: 1}}"
            ),
        )
    };
    space.apply(
        "apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
",
    );
    space.apply(&pod(
        "client",
        "sleep 1000",
        "",
        &format!("image: {AGNHOST}"),
    ));
    space.ready("client");
    for version in ["one", "two"] {
        space.apply(&rolled(version));
        space.kubectl(&["rollout", "status", "deployment/web", "--timeout=240s"]);
        // An endpoint that is going answers for a moment more.
        let script = format!("[ \"$(curl -fsS --max-time 5 http://web)\" = {version} ]");
        space.exec_until("client", &script);
    }
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_job_ends_and_a_daemon_set_is_on_the_node() {
    let space = Namespace::new("job");
    space.apply(&format!(
        "apiVersion: batch/v1
kind: Job
metadata: {{name: sum}}
spec:
  completions: 2
  parallelism: 2
  template:
    spec:
      runtimeClassName: skete
      restartPolicy: Never
      containers: [{{name: main, image: {BUSYBOX}, command: [sh, -c, 'echo done']}}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: daemon}}
spec:
  selector: {{matchLabels: {{app: daemon}}}}
  template:
    metadata: {{labels: {{app: daemon}}}}
    spec:
      runtimeClassName: skete
      terminationGracePeriodSeconds: 1
      containers: [{{name: main, image: {BUSYBOX}, command: [sleep, '1000']}}]
"
    ));
    space.wait("job", "sum", |job| job["status"]["succeeded"] == 2);
    space.wait("daemonset", "daemon", |set| {
        set["status"]["numberReady"] == 1
    });
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn what_a_pod_uses_is_told_by_the_kubelet() {
    let space = Namespace::new("stats");
    space.apply(&pod(
        "busy",
        "while :; do :; done",
        "",
        "resources: {limits: {cpu: 200m}}",
    ));
    space.ready("busy");
    let node = cluster(&["kubectl", "get", "nodes", "-o", "name"])
        .output()
        .unwrap();
    let node = String::from_utf8(node.stdout).unwrap();
    let path = format!(
        "/api/v1/nodes/{}/proxy/stats/summary",
        node.trim().trim_start_matches("node/")
    );
    eventually(Duration::from_secs(120), || {
        let summary: serde_json::Value =
            serde_json::from_str(&space.kubectl(&["get", "--raw", &path])).unwrap();
        let pods = summary["pods"].as_array().unwrap();
        let pod = pods.iter().find(|pod| pod["podRef"]["name"] == "busy");
        let container = pod.map(|pod| &pod["containers"][0]);
        let told = container.is_some_and(|container| {
            container["cpu"]["usageCoreNanoSeconds"].as_u64() > Some(100_000_000)
                && container["memory"]["workingSetBytes"].as_u64() > Some(0)
        });
        if told {
            return Ok(());
        }
        Err(move || summary.to_string())
    });
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_horizontal_pod_autoscaler_adds_pods_by_what_they_use_and_top_shows_it() {
    let space = Namespace::new("hpa");
    space.apply(&deployment(
        "busy",
        "",
        "command: [sh, -c, 'while :; do :; done']\n\
         resources: {requests: {cpu: 50m}, limits: {cpu: 100m}}",
    ));
    space.apply(
        "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: busy}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: busy}
  maxReplicas: 2
  metrics:
  - type: Resource
    resource: {name: cpu, target: {type: Utilization, averageUtilization: 80}}
",
    );
    space.wait("deployment", "busy", |busy| {
        busy["status"]["readyReplicas"] == 2
    });
    let top = space.kubectl(&[
        "top",
        "pod",
        "-l",
        "app=busy",
        "--containers",
        "--no-headers",
    ]);
    let columns: Vec<&str> = top.split_whitespace().collect();
    assert_eq!(columns[1], "main", "{top}");
    let used: u64 = columns[2].trim_end_matches('m').parse().unwrap();
    assert!(used > 40, "{top}");
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_cron_job_runs_at_its_minute() {
    let space = Namespace::new("cron");
    space.apply(&format!(
        "apiVersion: batch/v1
kind: CronJob
metadata: {{name: minutely}}
spec:
  schedule: '* * * * *'
  jobTemplate:
    spec:
      template:
        spec:
          runtimeClassName: skete
          restartPolicy: OnFailure
          containers: [{{name: main, image: {BUSYBOX}, command: [date]}}]
"
    ));
    space.wait("cronjob", "minutely", |job| {
        job["status"]["lastSuccessfulTime"].is_string()
    });
}
