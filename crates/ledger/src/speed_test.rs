//! Measurements, which print what they measure: run them in a release build.

use std::time::Instant;

use crate::ALL_HOURS;
use crate::testing::{HOUR, Machine, counted};

/// Journals in memory, so that the time is the ledger's; the ledger is on the disk.
fn machine() -> (tempfile::TempDir, Machine) {
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let machine = Machine::at(memory.path().to_owned());
    (memory, machine)
}

#[test]
#[ignore = "a measurement"]
fn half_a_million_records_are_taken_in() {
    let (_memory, machine) = machine();
    for pod in 0..1000 {
        machine.live(&format!("{}-{pod}", pod % 100), &format!("s{pod}"), 496);
    }
    let disk = tempfile::tempdir().unwrap();
    let mut ledger = crate::Ledger::create(&disk.path().join("ledger.db")).unwrap();
    let journals = machine.journals.all().unwrap();
    let started = Instant::now();
    let ingested = ledger.ingest(journals).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(ingested.records, 500_000);
    assert_eq!(counted(&ledger), machine.truth());
    let rate = ingested.records as f64 / seconds;
    let bytes = ledger.status().unwrap().bytes / ingested.records;
    println!("{rate:.0} records taken in per second, {bytes} bytes of disk per record");

    let started = Instant::now();
    let hours = ledger.close_before(HOUR + 100_000).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    assert!(hours > 1000, "{hours}");
    let rate = ingested.records as f64 / seconds;
    println!("{rate:.0} records of closed hours hashed per second");

    let started = Instant::now();
    let found = ledger.verify(None, |finding| panic!("{finding}")).unwrap();
    let seconds = started.elapsed().as_secs_f64();
    assert_eq!(found.hours, hours);
    let rate = ingested.records as f64 / seconds;
    println!("{rate:.0} records verified per second");
}

#[test]
#[ignore = "a measurement"]
fn a_month_of_a_hundred_thousand_pods_is_told_by_namespace() {
    let (_memory, machine) = machine();
    for pod in 0..100_000 {
        machine.live(&format!("{}-{pod}", pod % 100), &format!("s{pod}"), 2);
    }
    let disk = tempfile::tempdir().unwrap();
    let mut ledger = crate::Ledger::create(&disk.path().join("ledger.db")).unwrap();
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    assert_eq!(counted(&ledger), machine.truth());
    let mut times: Vec<_> = (0..9)
        .map(|_| {
            let started = Instant::now();
            let namespaces = ledger.namespaces(HOUR..HOUR + 720).unwrap();
            let time = started.elapsed();
            let pods: u64 = namespaces.iter().map(|of| of.pods).sum();
            assert_eq!((namespaces.len(), pods), (100, 100_000));
            time
        })
        .collect();
    times.sort();
    let hours = machine.clock.0.get() / 3600;
    println!(
        "{} ms per question for 100 Namespaces, 100,000 Pods, {hours} hours",
        times[4].as_millis()
    );
    assert_eq!(ledger.namespaces(ALL_HOURS).unwrap().len(), 100);
}
