//! What the kubelet's Pods were given and used.

use serde_json::Value;

use crate::cluster::{Namespace, PATIENCE, deployment, eventually, skete};

/// What `skete usage` says of each Pod of a namespace.
pub(crate) fn uses(space: &Namespace) -> Vec<Value> {
    let usage = ["usage", "-o", "jsonl", "-n", space.name()];
    let output = skete(&usage).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let parse = |line| serde_json::from_str(line).unwrap();
    lines.lines().map(parse).collect()
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_deployments_pods_are_metered_from_their_sandbox_to_its_end() {
    let space = Namespace::new("metered");
    space.apply(&deployment(
        "web",
        "replicas: 1",
        "command: [sleep, '1000']\n\
         resources: {requests: {cpu: 100m}, limits: {cpu: 500m, memory: 64Mi}}",
    ));
    space.kubectl(&["rollout", "status", "deployment/web", "--timeout=120s"]);
    let running = uses(&space);
    let [pod] = &running[..] else {
        panic!("{running:?}");
    };
    assert_eq!(pod["ended"], "running");
    assert_eq!(pod["containerStarts"], 1);
    assert_eq!(pod["pod"]["labels"]["app"], "web");
    assert_eq!(pod["pod"]["controller"]["kind"], "ReplicaSet");
    let name = pod["pod"]["name"].as_str().unwrap();
    assert_eq!(pod["pod"]["uid"], space.get("pod", name)["metadata"]["uid"]);
    let span = &pod["spans"][0];
    assert_eq!(span["requested"]["milliVcpus"], 100, "{span}");
    assert_eq!(span["limits"]["milliVcpus"], 500, "{span}");
    assert_eq!(span["provisioned"]["milliVcpus"], 1000, "{span}");
    assert_eq!(
        span["provisioned"]["memoryBytes"],
        (64 + 48) << 20,
        "{span}"
    );

    space.kubectl(&[
        "delete",
        "deployment",
        "web",
        "--cascade=foreground",
        "--wait",
    ]);
    let ended = eventually(PATIENCE, || match &uses(&space)[..] {
        [pod] if pod["ended"] == "seen" => Ok(pod.clone()),
        other => {
            let told = format!("{other:?}");
            Err(move || told)
        }
    });
    let used = &ended["spans"][0]["used"];
    for field in ["cpuNs", "memoryByteNs", "networkReceivedBytes"] {
        assert!(used[field].as_f64().unwrap() > 0.0, "{field}: {used}");
    }
}
