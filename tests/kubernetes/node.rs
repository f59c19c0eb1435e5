//! What `skete node` says of the node, and does to it.

use std::process::Output;

use serde_json::Value;

use crate::cluster::{Namespace, pod, skete};

/// `skete node` of what is installed there.
fn node(arguments: &[&str]) -> Output {
    let prefix = std::env::var("SKETE_TEST_PREFIX").expect("run by cargo xtask test");
    let words = [&["node"], arguments, &["--prefix", &prefix]].concat();
    skete(&words).output().unwrap()
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_node_tells_of_its_pods_and_stays_one_while_they_run() {
    let space = Namespace::new("told");
    space.apply(&pod("seen", "sleep 1000", "", ""));
    space.ready("seen");

    let output = node(&["status", "-o", "json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(status["problems"], Value::Array(Vec::new()), "{status}");
    let pods = status["pods"].as_array().unwrap();
    let seen = pods.iter().find(|pod| pod["name"] == "seen").unwrap();
    assert_eq!(seen["state"], "Running");
    assert!(seen["memory"]["guest"].as_u64() > Some(8 << 20), "{seen}");
    for part in ["monitor", "socketDevice", "shim"] {
        assert!(seen["memory"][part].as_u64() > Some(0), "{seen}");
    }

    let metrics = String::from_utf8(node(&["metrics"]).stdout).unwrap();
    let up = metrics
        .lines()
        .find(|line| line.starts_with("skete_pod_up{") && line.contains("pod=\"seen\""));
    assert!(up.is_some_and(|line| line.ends_with("} 1")), "{metrics}");

    let output = node(&["uninstall", "--no-restart"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("drain it first"),
        "{said}"
    );
    space.ready("seen");
}
