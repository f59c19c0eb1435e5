//! In-place resize.

use crate::cluster::{Namespace, pod};

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
    let object = space.get("pod", "grows");
    assert_eq!(object["status"]["containerStatuses"][0]["restartCount"], 0);
}
