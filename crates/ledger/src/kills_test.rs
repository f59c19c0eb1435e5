//! `kill -9` of whoever takes journals in, at any moment. `SKETE_TEST_KILLS` says how often,
//! `SKETE_TEST_SEED` where to begin.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::Ledger;
use crate::testing::{HOUR, Machine, Random, assert_true, assert_verified};

/// Where the process that is killed finds its machine.
const STATE: &str = "SKETE_TEST_LEDGER_STATE";
/// Fewer Pods than this begin, and go on, before each kill.
const PODS: u64 = 4;

fn number(variable: &str, or: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => or,
    }
}

/// Takes journals in again and again, some in each transaction, and closes hours, until it is killed.
#[test]
#[ignore = "it is the process that the next test kills"]
fn ingests_until_it_is_killed() {
    let Some(state) = std::env::var_os(STATE) else {
        return;
    };
    let machine = Machine::at(PathBuf::from(state));
    let mut ledger = Ledger::create(&machine.ledger_path()).unwrap();
    let mut random = Random(std::process::id().into());
    for hour in HOUR.. {
        let mut journals = machine.journals.all().unwrap();
        // The youngest come first: there is something to do from the first moment on.
        journals
            .sort_by_key(|journal| Reverse(journal.path.metadata().unwrap().modified().unwrap()));
        while !journals.is_empty() {
            let some = journals.len().min(1 + random.below(5) as usize);
            ledger.ingest(journals.drain(..some)).unwrap();
        }
        ledger.close_before(hour).unwrap();
    }
}

#[test]
fn after_hundreds_of_kills_every_record_is_counted_once() {
    // In memory: a disk's time to sync is no moment to be killed at, but a long one.
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let machine = Machine::at(memory.path().to_owned());
    let seed = number("SKETE_TEST_SEED", 0);
    let kills = number("SKETE_TEST_KILLS", 300);
    let mut random = Random(seed);
    let mut taken = 0;
    let mut running = Vec::new();
    for kill in 0..kills {
        // Pods begin, go on and end between the kills.
        for _ in 0..random.below(PODS) {
            let uid = format!("{kill}-{}", random.below(u64::MAX));
            running.push(machine.begin(&uid, &uid));
        }
        for _ in 0..random.below(PODS) {
            let pods = running.len() as u64;
            if pods > 0 {
                let mut pod = running.swap_remove(random.below(pods) as usize);
                machine.beat(&mut pod, random.below(12));
                if random.below(2) > 0 {
                    running.push(pod);
                }
            }
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "kills_tests::ingests_until_it_is_killed",
            ])
            .env(STATE, &machine.state)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_micros(random.below(100_000)));
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        if !machine.ledger_path().exists() {
            continue;
        }
        let ledger = machine.ledger();
        let records = ledger.status().unwrap().records;
        assert!(records >= taken, "SKETE_TEST_SEED={seed}: records are lost");
        taken = records;
        if kill % 20 == 0 {
            assert_verified(&ledger);
        }
    }
    assert!(taken > 0, "nothing was taken in before a kill");
    let mut ledger = machine.ledger();
    let last = ledger.ingest(machine.journals.all().unwrap()).unwrap();
    println!(
        "{kills} kills: {taken} records before the last, {} after",
        last.records
    );
    assert_true(&machine, &ledger);
}
