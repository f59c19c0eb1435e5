//! In-place resize.

use serde_json::Value;

use crate::cluster::{Namespace, pod};
use crate::usage::uses;

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_pod_that_is_resized_gets_the_memory_without_a_restart() {
    let space = Namespace::new("resize");
    let limits = "resources: {limits: {memory: 64Mi, cpu: 500m}}";
    space.apply(&pod("grows", "sleep 1000", "", limits));
    space.ready("grows");
    let total = "awk '/MemTotal/ { print $2 }' /proc/meminfo";
    let kib = |text: String| -> u64 { text.trim().parse().unwrap() };
    assert!(kib(space.exec("grows", total)) < 128 << 10);
    space.kubectl(&[
        "patch", "pod", "grows", "--subresource=resize",
        r#"-p={"spec":{"containers":[{"name":"main","resources":{"limits":{"memory":"256Mi","cpu":"800m"},"requests":{"memory":"256Mi","cpu":"800m"}}}]}}"#,
    ]);
    space.exec_until("grows", "[ $(cat /sys/fs/cgroup/memory.max) = 268435456 ]");
    assert!(kib(space.exec("grows", total)) > 256 << 10);
    assert_eq!(
        space.exec("grows", "cat /sys/fs/cgroup/cpu.max"),
        "80000 100000\n"
    );
    // It is metered at the one size, and then at the other.
    let spans = uses(&space).remove(0)["spans"].take();
    let mib = |span: &Value| span["provisioned"]["memoryBytes"].as_u64().unwrap() >> 20;
    let sizes: Vec<u64> = spans.as_array().unwrap().iter().map(mib).collect();
    assert_eq!((sizes.first(), sizes.last()), (Some(&112), Some(&304)));
    let object = space.get("pod", "grows");
    assert_eq!(object["status"]["containerStatuses"][0]["restartCount"], 0);
}
