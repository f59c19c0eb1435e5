//! Many Pods that come and go, and processes that are killed meanwhile.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cluster::{Namespace, cluster, eventually, pod, sandboxes};
use crate::failures::kill_shim;

/// How many Pods: 12, or as `SKETE_TEST_CHURN` says.
fn count() -> usize {
    let told = std::env::var("SKETE_TEST_CHURN").ok();
    told.map_or(12, |count| {
        count.parse().expect("SKETE_TEST_CHURN is a number")
    })
}

/// What is killed while Pods start.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Shim,
    Containerd,
    Kubelet,
}

impl Victim {
    /// Kills it now. There may be no shim yet.
    fn kill(self, shims: &BTreeSet<String>) {
        let part = match self {
            Self::Shim => {
                let Some(shim) = shims.first() else { return };
                return kill_shim(shim);
            }
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
        };
        let restarted = cluster(&["restart", "--kill", part]).output().unwrap();
        assert!(restarted.status.success(), "{restarted:?}");
    }
}

/// The sandboxes on the node.
fn alive() -> BTreeSet<String> {
    let entries = std::fs::read_dir(sandboxes())
        .into_iter()
        .flatten()
        .flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn pods_that_come_and_go_leave_nothing_though_shims_containerd_and_the_kubelet_are_killed() {
    let space = Namespace::alone("churn");
    let others = alive();
    let mine = || {
        alive()
            .difference(&others)
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    let mut seen = BTreeSet::new();
    let wave = (count() / 10).clamp(4, 20);
    let names: Vec<_> = (0..count()).map(|n| format!("pod-{n}")).collect();
    let victims = [Victim::Shim, Victim::Containerd, Victim::Kubelet];
    for (names, victim) in names.chunks(wave).zip(victims.into_iter().cycle()) {
        let pods: Vec<_> = names
            .iter()
            .map(|name| pod(name, "sleep 1000", "", ""))
            .collect();
        space.apply(&pods.join("\n---\n"));
        // Some moment while they start.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let moment = Duration::from_millis(u64::from(now.subsec_micros() % 3000));
        println!("{victim:?} is killed {moment:?} after {} Pods", names.len());
        sleep(moment);
        seen.extend(mine());
        victim.kill(&mine());
        for name in names {
            space.ready(name);
        }
        seen.extend(mine());
        let mut delete = vec!["delete", "pod", "--wait=true", "--timeout=240s"];
        delete.extend(names.iter().map(String::as_str));
        space.kubectl(&delete);
        seen.extend(mine());
    }
    eventually(Duration::from_secs(120), || {
        let left = mine();
        let lives = |id: &&String| {
            let found = Command::new("pgrep").args(["-f", id]).output().unwrap();
            !found.stdout.is_empty()
        };
        let processes: Vec<_> = seen.iter().filter(lives).collect();
        if left.is_empty() && processes.is_empty() {
            return Ok(());
        }
        Err(move || format!("left: {left:?}, processes of {processes:?}"))
    });
}
