//! What Pods were given and used: their journals, and `skete usage`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{HELLO, Machine, below, eventually, kill};

/// What `skete usage` says of each Pod that the flags choose.
#[track_caller]
pub(crate) fn uses(machine: &Machine, flags: &[&str]) -> Vec<Value> {
    let words = [&["usage", "-o", "jsonl"], flags].concat();
    let ended = machine.skete(&words).exits(0);
    let out = ended.out();
    out.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn journals(machine: &Machine) -> Vec<PathBuf> {
    let mut found = vec![machine.path("r/usage")];
    for _ in 0..3 {
        let below = |dir: &PathBuf| {
            fs::read_dir(dir)
                .unwrap()
                .map(|entry| entry.unwrap().path())
        };
        found = found.iter().flat_map(below).collect();
    }
    found
}

/// How long the Pod was, all its spans together.
pub(crate) fn nanoseconds(used: &Value) -> i64 {
    let length = |span: &Value| span["endNs"].as_i64().unwrap() - span["startNs"].as_i64().unwrap();
    used["spans"].as_array().unwrap().iter().map(length).sum()
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn what_a_pod_used_is_known_when_the_pod_is_not_any_more() {
    let machine = Machine::new();
    // It writes to its disk, sends to itself over its interface, and takes processor time.
    let script = "dd if=/dev/zero of=/file bs=1M count=8 2>/dev/null; sync; \
                  ping -c 1 -W 1 10.83.0.1 >/dev/null; i=0; while [ $i -lt 9999 ]; do i=$((i+1)); done";
    let flags = [
        "run", "--rm", "-q", "--name", "a", "-l", "app=web", "-m", "64m", "--cpus", "1",
    ];
    let words = [&flags[..], &[HELLO, "sh", "-c", script]].concat();
    machine.skete(&words).exits(0);
    machine
        .skete(&["run", "--rm", "-q", "--name", "b", HELLO, "true"])
        .exits(0);
    machine.skete(&["inspect", "a"]).exits(125);

    let all = uses(&machine, &[]);
    assert_eq!(all.len(), 2, "{all:?}");
    let chosen = uses(&machine, &["-l", "app in (web, db)", "-n", "default"]);
    let [a] = &chosen[..] else {
        panic!("{chosen:?}");
    };
    assert_eq!(
        (&a["pod"]["name"], &a["ended"]),
        (&"a".into(), &"seen".into())
    );
    let span = &a["spans"][0];
    assert_eq!(
        span["provisioned"]["memoryBytes"],
        (64 + 48) << 20,
        "{span}"
    );
    assert_eq!(span["limits"]["memoryBytes"], 64 << 20, "{span}");
    for field in [
        "cpuNs",
        "memoryByteNs",
        "blockWrittenBytes",
        "networkSentBytes",
    ] {
        assert!(
            span["used"][field].as_f64().unwrap() > 0.0,
            "{field}: {span}"
        );
    }
    let most = span["provisioned"]["memoryBytes"].as_f64().unwrap() * nanoseconds(a) as f64;
    assert!(
        span["used"]["memoryByteNs"].as_f64().unwrap() <= most,
        "{span}"
    );

    // Cut in two anywhere, it is as much as before.
    let middle = (span["startNs"].as_i64().unwrap() + span["endNs"].as_i64().unwrap()) / 2;
    let middle = format!("{}.{:09}", middle / 1_000_000_000, middle % 1_000_000_000);
    let cut = |flag: &str| {
        let part = uses(&machine, &["-l", "app", flag, &middle]);
        part.iter().map(nanoseconds).sum::<i64>()
    };
    assert_eq!(cut("--since") + cut("--until"), nanoseconds(a));

    let table = machine
        .skete(&["usage", "--by", "namespace"])
        .exits(0)
        .out();
    assert!(
        table.lines().nth(1).unwrap().starts_with("default    2 "),
        "{table}"
    );
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_pod_whose_shim_is_killed_counts_up_to_its_last_record() {
    let machine = Machine::new();
    machine.detached(&["--name", "a", "--network", "none", HELLO, "sleep", "1000"]);
    let [journal] = &journals(&machine)[..] else {
        panic!("one Pod has one journal");
    };
    let running = &uses(&machine, &[])[0];
    assert_eq!(running["ended"], "running");
    let before = fs::read(journal).unwrap();

    let shim = below(&machine.path("")).into_iter();
    let shim = shim.filter(|process| process.program() == "containerd-shim-skete-v2");
    shim.for_each(|shim| kill(shim.pid));
    eventually("the Pod ends", || {
        let end = machine.inspect("a")["end"]["reason"].take();
        (end == "ShimKilled").then_some(())
    });
    let bounded = &uses(&machine, &[])[0];
    assert_eq!(bounded["ended"], "bounded");
    let after = fs::read(journal).unwrap();
    assert!(after.starts_with(&before), "a journal only grows");
    assert!(nanoseconds(bounded) >= nanoseconds(running));

    machine.skete(&["rm", "a"]).exits(0);
    assert_eq!(fs::read(journal).unwrap(), after);
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_damaged_journal_is_told_of_and_not_counted() {
    let machine = Machine::new();
    for name in ["a", "b"] {
        machine
            .skete(&[
                "run",
                "-q",
                "--name",
                name,
                "--network",
                "none",
                HELLO,
                "true",
            ])
            .exits(0);
    }
    let journal = &journals(&machine)[0];
    let text = fs::read_to_string(journal).unwrap();
    fs::write(journal, text.replacen("ready", "Ready", 1)).unwrap();
    let told = machine.skete(&["usage", "-o", "json"]).exits(125);
    let path = journal.to_string_lossy();
    let line = told.stderr.trim_end();
    assert!(
        line.contains(&*path) && line.contains("line 3 is damaged"),
        "{line}"
    );
    assert_eq!(told.json().as_array().unwrap().len(), 1);

    fs::write(journal, text.replacen("skete-usage 1", "skete-usage 2", 1)).unwrap();
    let told = machine.skete(&["usage"]).exits(125);
    assert!(
        told.stderr.contains("use the newer skete"),
        "{}",
        told.stderr
    );

    let window = ["usage", "--since", "1m", "--until", "2m"];
    machine.skete(&window).refuses(125, &["--until", "--since"]);
    machine.skete(&["usage", "-l", "a b"]).exits(125);
    machine.skete(&["usage", "--by", "pods"]).exits(125);
}
