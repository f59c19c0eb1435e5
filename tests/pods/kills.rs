//! `kill -9` at a random moment: nothing is left, and the Pod's end is on record.
//!
//! `SKETE_TEST_KILLS` says how often, `SKETE_TEST_SEED` repeats a run.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::{HELLO, Machine, Process, below, kill};
use crate::usage::{nanoseconds, uses};

const KILLS: u64 = 12;
/// Whoever is alive may take so long to clean up after those who are not.
const PATIENCE: Duration = Duration::from_secs(10);
/// What may be killed: the one that was typed, and all that it started.
const VICTIMS: [&str; 5] = [
    "skete run",
    "skete supervise",
    "containerd-shim-skete-v2",
    "qemu-system",
    "skete-vsock",
];

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|e| panic!("{variable}={text}: {e}")),
    )
}

fn what(process: &Process) -> Option<&'static str> {
    VICTIMS
        .into_iter()
        .find(|victim| match victim.split_once(' ') {
            Some((program, word)) => {
                process.program() == program && process.command.split(' ').any(|w| w == word)
            }
            None => process.program().starts_with(victim),
        })
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn nothing_is_left_after_a_kill_at_a_random_moment_and_the_end_is_on_record() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("SKETE_TEST_SEED").unwrap_or(now.as_nanos() as u64 >> 10);
    let kills = number("SKETE_TEST_KILLS").unwrap_or(KILLS);
    println!("SKETE_TEST_SEED={seed} SKETE_TEST_KILLS={kills}");
    let machine = Machine::new();
    let mut random = Random(seed);
    for turn in 0..kills {
        let name = format!("pod-{turn}");
        let moment = Duration::from_millis(random.below(4000));
        let draw = random.below(1 << 32);
        let told = format!("SKETE_TEST_SEED={seed}, turn {turn}, after {moment:?}");
        let began = Instant::now();

        let words = [
            "run", "-d", "-q", "-p", "8080:80", "--name", &name, HELLO, "sleep", "1000",
        ];
        let mut run = machine.start(&words);
        let mut run = run
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(moment);
        // Each kind is as likely, as far as there is one now.
        let running: Vec<(&str, Process)> = below(&machine.path(""))
            .into_iter()
            .filter_map(|process| Some((what(&process)?, process)))
            .collect();
        assert!(!running.is_empty(), "{told}: nothing runs");
        let (kind, victim) = &running[draw as usize % running.len()];
        kill(victim.pid);
        let told = format!("{told}, {kind} killed");
        println!("{told}");
        if *kind != "skete run" {
            // It says itself what has happened to the Pod.
            run.wait().unwrap();
        }
        run.wait().unwrap();

        settle(&machine, &name, kind, &told);
        metered(&machine, &name, kind, began.elapsed(), &told);
        // Without its follower the Pod is cleaned up after by the command, which has ended.
        let patience = match *kind {
            "skete supervise" => Duration::ZERO,
            _ => PATIENCE,
        };
        let began = Instant::now();
        loop {
            let left = machine.leftovers();
            if left.is_empty() {
                break;
            }
            let left = left.join("\n");
            assert!(began.elapsed() < patience, "{told}: left behind:\n{left}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// What the Pod's journal says is what can be known: an end that nobody saw is not invented, and no
/// time is counted in which there was no Pod.
#[track_caller]
fn metered(machine: &Machine, name: &str, kind: &str, at_most: Duration, told: &str) {
    for used in uses(machine, &[]) {
        if used["pod"]["name"] != name {
            continue;
        }
        let ends: &[&str] = match kind {
            // It writes the journal: after a kill nobody does.
            "containerd-shim-skete-v2" => &["bounded"],
            // Whoever cleans up after it ends the shim too.
            "skete supervise" => &["bounded", "seen"],
            _ => &["seen"],
        };
        let ended = used["ended"].as_str().unwrap();
        assert!(ends.contains(&ended), "{told}: {used}");
        assert!(
            i128::from(nanoseconds(&used)) <= at_most.as_nanos() as i128,
            "{told}: {used}"
        );
    }
}

/// Waits until those who are alive have cleaned up, gives `skete ps` the rest, and looks at the
/// record.
#[track_caller]
fn settle(machine: &Machine, name: &str, kind: &str, told: &str) {
    let began = Instant::now();
    loop {
        let rows = machine.skete(&["ps", "-a", "-o", "json"]).exits(0).json();
        let rows = rows.as_array().unwrap();
        let Some(row) = rows.iter().find(|row| row["name"] == name) else {
            // Killed before the Pod was one: there was nothing to put down.
            assert_eq!(kind, "skete run", "{told}: no record");
            return;
        };
        if kind == "skete run" && row["reason"].is_null() {
            // The Pod does not need the one that started it.
            machine.skete(&["rm", "-f", name]).exits(0);
            return;
        }
        if let Some(reason) = row["reason"].as_str() {
            let reasons: &[&str] = match kind {
                "skete supervise" => &["FollowerKilled"],
                "skete run" => &["FollowerKilled", "StartFailed"],
                // Before the VM was up it is the start that has failed.
                "containerd-shim-skete-v2" => &["ShimKilled", "StartFailed"],
                _ => &["SandboxDied", "StartFailed"],
            };
            assert!(reasons.contains(&reason), "{told}: {row}");
            assert_ne!(row["exitCode"], 0, "{told}: {row}");
            let record = machine.inspect(name);
            let message = record["end"]["message"].as_str().unwrap_or_default();
            assert!(!message.is_empty(), "{told}: {record}");
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{told}: still there: {row}");
        std::thread::sleep(Duration::from_millis(200));
    }
}
