//! What goes wrong, and what is told of it.

use std::process::Command;
use std::time::Duration;

use crate::cluster::{Namespace, cluster, eventually, pod, run_root, sandboxes};

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_containers_last_words_and_its_end_for_want_of_memory_reach_its_status() {
    let space = Namespace::new("ends");
    let script = "echo no more > /dev/termination-log; exit 3";
    space.apply(&pod("words", script, "restartPolicy: Never", ""));
    // Memory that is written to is charged to who writes.
    let hungry = "exec dd if=/dev/zero of=/dev/shm/file bs=1M count=60";
    space.apply(&pod(
        "hungry",
        hungry,
        "restartPolicy: Never",
        "resources: {limits: {memory: 32Mi}}",
    ));
    let ended = |name: &str| {
        let object = space.wait("pod", name, |pod| pod["status"]["phase"] == "Failed");
        object["status"]["containerStatuses"][0]["state"]["terminated"].clone()
    };
    let words = ended("words");
    assert_eq!(
        (&words["exitCode"], &words["message"]),
        (&3.into(), &"no more\n".into())
    );
    let hungry = ended("hungry");
    assert_eq!(
        (&hungry["exitCode"], &hungry["reason"]),
        (&137.into(), &"OOMKilled".into())
    );
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_pod_that_writes_more_than_it_may_is_evicted() {
    let space = Namespace::new("evicted");
    let write = |path: &str| format!("dd if=/dev/zero of={path} bs=1M count=10; sync; sleep 1000");
    space.apply(&pod(
        "limit",
        &write("/file"),
        "",
        "resources: {limits: {ephemeral-storage: 5Mi}}",
    ));
    space.apply(&pod(
        "volume",
        &write("/data/file"),
        "volumes: [{name: data, emptyDir: {sizeLimit: 5Mi}}]",
        "volumeMounts: [{name: data, mountPath: /data}]",
    ));
    for (name, said) in [
        ("limit", "exceeds the total limit of containers 5Mi"),
        (
            "volume",
            "EmptyDir volume \"data\" exceeds the limit \"5Mi\"",
        ),
    ] {
        let evicted = space.wait("pod", name, |pod| pod["status"]["phase"] == "Failed");
        assert_eq!(evicted["status"]["reason"], "Evicted");
        let message = evicted["status"]["message"].as_str().unwrap();
        assert!(message.contains(said), "{message}");
    }
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_pod_that_asks_for_the_host_is_refused_in_words_that_help() {
    let space = Namespace::new("refused");
    space.apply(&pod(
        "nosy",
        "sleep 1000",
        "volumes: [{name: etc, hostPath: {path: /etc}}]",
        "volumeMounts: [{name: etc, mountPath: /host}]",
    ));
    space.event("nosy", "nothing of the host's file system is shared");
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        let name = field.to_lowercase();
        space.apply(&pod(&name, "sleep 1000", &format!("{field}: true"), ""));
        let told = format!("spec.{field} asks for a namespace of the host");
        space.event(&name, &told);
    }
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_pod_with_an_annotation_that_the_node_does_not_allow_is_refused_by_its_name() {
    let space = Namespace::new("annotated");
    let plain = pod("tenant", "sleep 1000", "", "");
    let annotations = "annotations: {io.skete.hypervisor: emulation}, labels:";
    space.apply(&plain.replace("labels:", annotations));
    space.event(
        "tenant",
        "annotation io.skete.hypervisor is not allowed on this node: remove it from the Pod",
    );
    space.kubectl(&["delete", "pod", "tenant", "--now"]);
    eventually(Duration::from_secs(60), || {
        let idle = shims_without_a_sandbox();
        if idle.is_empty() {
            return Ok(());
        }
        Err(move || format!("shims are left: {idle:?}"))
    });
}

/// The ids of those that run on the node. One that has just been started is among them.
fn shims_without_a_sandbox() -> Vec<String> {
    let sandboxes = sandboxes();
    let node = run_root();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let commands = processes.filter_map(|process| {
        let bytes = std::fs::read(process.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&bytes).replace('\0', " "))
    });
    commands
        .filter(|command| command.contains("containerd-shim-skete-v2"))
        .filter(|command| command.contains(&format!("-address {}/", node.display())))
        .filter_map(|command| {
            let id = command.split(" -id ").nth(1)?.split(' ').next()?;
            (!sandboxes.join(id).exists()).then(|| id.to_owned())
        })
        .collect()
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_pod_whose_shim_is_killed_is_started_anew_and_nothing_is_left() {
    let space = Namespace::new("killed");
    space.apply(&pod("victim", "sleep 1000", "", ""));
    space.ready("victim");
    let sandbox = sandbox_of(&space, "victim");
    kill_shim(&sandbox);
    space.wait("pod", "victim", |pod| {
        pod["status"]["containerStatuses"][0]["restartCount"].as_u64() > Some(0)
    });
    space.ready("victim");
    eventually(Duration::from_secs(60), || {
        if !sandboxes().join(&sandbox).exists() {
            return Ok(());
        }
        Err(|| format!("{sandbox} is left"))
    });
    let processes = Command::new("pgrep")
        .args(["-f", &sandbox])
        .output()
        .unwrap();
    assert!(processes.stdout.is_empty(), "{processes:?}");
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_restart_of_containerd_leaves_pods_as_they_are() {
    let space = Namespace::alone("restart");
    space.apply(&pod("stays", "date +%s%N; sleep 1000", "", ""));
    space.ready("stays");
    let began = space.kubectl(&["logs", "stays"]);
    let restarted = cluster(&["restart", "containerd"]).output().unwrap();
    assert!(restarted.status.success(), "{restarted:?}");
    space.exec_until("stays", "true");
    assert_eq!(space.kubectl(&["logs", "stays"]), began);
    let object = space.get("pod", "stays");
    assert_eq!(object["status"]["containerStatuses"][0]["restartCount"], 0);
}

/// The sandbox's id on the node.
pub(crate) fn sandbox_of(space: &Namespace, pod: &str) -> String {
    let object = space.get("pod", pod);
    let uid = object["metadata"]["uid"].as_str().unwrap();
    let found = std::fs::read_dir(sandboxes())
        .unwrap()
        .flatten()
        .find(|entry| {
            // The cgroup that it was given has the Pod's identity in its name.
            let cgroup = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
            cgroup.contains(uid)
        });
    found.expect("a sandbox").file_name().into_string().unwrap()
}

pub(crate) fn kill_shim(sandbox: &str) {
    let pattern = format!("containerd-shim-skete-v2.*{sandbox}");
    let killed = Command::new("pkill")
        .args(["-KILL", "-f", &pattern])
        .status()
        .unwrap();
    assert!(killed.success(), "no shim of {sandbox}");
}
