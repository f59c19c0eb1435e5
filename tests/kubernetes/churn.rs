//! Many Pods that come and go, and processes that are killed meanwhile.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use crate::cluster::{Namespace, eventually, pod, sandboxes};
use crate::failures::kill_shim;

/// Pods at a time.
const WAVE: usize = 4;

/// How many Pods: 12, or as `SKETE_TEST_CHURN` says.
fn count() -> usize {
    let told = std::env::var("SKETE_TEST_CHURN").ok();
    told.map_or(12, |count| {
        count.parse().expect("SKETE_TEST_CHURN is a number")
    })
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
fn pods_that_come_and_go_leave_nothing_though_shims_are_killed() {
    let space = Namespace::alone("churn");
    let others = alive();
    let mut seen = BTreeSet::new();
    for first in (0..count()).step_by(WAVE) {
        let names: Vec<_> = (first..first + WAVE).map(|n| format!("pod-{n}")).collect();
        for name in &names {
            space.apply(&pod(name, "sleep 1000", "", ""));
        }
        for name in &names {
            space.ready(name);
        }
        let mine: Vec<_> = alive().difference(&others).cloned().collect();
        // Every other wave loses one, whose Pod is being deleted or started anew when it goes.
        if first / WAVE % 2 == 1
            && let Some(victim) = mine.first()
        {
            kill_shim(victim);
        }
        seen.extend(mine);
        let mut delete = vec!["delete", "pod", "--wait=true", "--timeout=240s"];
        delete.extend(names.iter().map(String::as_str));
        space.kubectl(&delete);
        seen.extend(alive().difference(&others).cloned());
    }
    eventually(Duration::from_secs(120), || {
        let left: Vec<_> = alive().difference(&others).cloned().collect();
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
