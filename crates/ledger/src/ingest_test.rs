use std::fs;

use skete_usage::{EndReason, JournalFile, Window};

use super::*;
use crate::ALL_HOURS;
use crate::testing::{Machine, Random, assert_true, assert_verified, counted, opening, told};

fn ingest(machine: &Machine, ledger: &mut Ledger) -> Ingested {
    ledger.ingest(machine.journals.all().unwrap()).unwrap()
}

/// The one journal that was refused, and why.
fn refused(ingested: &Ingested) -> String {
    let [refused] = &ingested.refused[..] else {
        panic!("{ingested:?}");
    };
    told(refused)
}

/// A journal's file.
fn file<'a>(journals: &'a [JournalFile], sandbox: &str) -> &'a JournalFile {
    let of = |journal: &&JournalFile| journal.path.to_string_lossy().contains(sandbox);
    journals.iter().find(of).unwrap()
}

#[test]
fn journals_that_come_again_in_any_order_count_once() {
    let machine = Machine::new();
    for index in 0..20 {
        machine.live(
            &format!("{}-{index}", index % 3),
            &format!("s{index}"),
            index * 40,
        );
    }
    let mut ledger = machine.ledger();
    let mut journals = machine.journals.all().unwrap();
    journals.extend(journals.clone());
    let mut random = Random(1);
    for last in (1..journals.len()).rev() {
        journals.swap(last, random.below(last as u64 + 1) as usize);
    }
    let ingested = ledger.ingest(journals).unwrap();
    assert_eq!(ingested.journals, 20);
    assert_true(&machine, &ledger);

    let again = ingest(&machine, &mut ledger);
    assert_eq!((again.journals, again.records), (0, 0));
    assert_true(&machine, &ledger);
}

#[test]
fn a_running_pod_is_taken_in_as_it_goes_on() {
    let machine = Machine::new();
    let mut ledger = machine.ledger();
    let mut writer = machine.begin("a", "s");
    let ended = |ledger: &Ledger| {
        let used = ledger.pod_uses(Window::ALL).unwrap().next().unwrap();
        used.unwrap().ended
    };
    let mut records = 1;
    for beats in [1, 7, 1000, 2] {
        machine.beat(&mut writer, beats);
        records += beats;
        ingest(&machine, &mut ledger);
        assert_true(&machine, &ledger);
        assert_eq!(ledger.status().unwrap().records, records);
        assert_eq!(ended(&ledger), Ended::Running);
    }
    drop(writer);
    assert_eq!(ingest(&machine, &mut ledger).journals, 0);
    assert_eq!(ended(&ledger), Ended::Bounded);
}

#[test]
fn a_damaged_journal_is_reported_and_keeps_no_other_out() {
    let machine = Machine::new();
    for (uid, sandbox) in [("a", "one"), ("b", "two"), ("c", "three")] {
        machine.live(uid, sandbox, 5);
    }
    let journals = machine.journals.all().unwrap();
    let path = &file(&journals, "two").path;
    let good = fs::read(path).unwrap();
    let mut damaged = good.clone();
    let middle = good.len() * 3 / 4;
    damaged[middle] ^= 1;
    fs::write(path, &damaged).unwrap();

    let mut ledger = machine.ledger();
    let ingested = ingest(&machine, &mut ledger);
    assert_eq!(ingested.journals, 2);
    let why = refused(&ingested);
    assert!(why.contains("two-") && why.contains("is damaged"), "{why}");
    assert_eq!(ledger.status().unwrap().pods, 2);
    assert_verified(&ledger);

    fs::write(path, good).unwrap();
    assert_eq!(ingest(&machine, &mut ledger).journals, 1);
    assert_true(&machine, &ledger);
}

#[test]
fn another_nodes_journal_of_a_pod_is_refused_with_both_names() {
    let machine = Machine::new();
    machine.live("a", "one", 5);
    let mut ledger = machine.ledger();
    ingest(&machine, &mut ledger);
    let truth = counted(&ledger);

    let mut other = opening("a", "elsewhere");
    other.boot = "other".into();
    other.pod.node = "attacker".into();
    let place = machine.journals.place("other", "skete", "elsewhere", 7);
    let clock = machine.clock.clone();
    drop(skete_usage::Writer::create(&place, other, clock).unwrap());
    let why = refused(&ingest(&machine, &mut ledger));
    assert!(why.contains("Pod a is a/pod-a on node attacker"), "{why}");
    assert!(why.contains("knows it as a/pod-a on node node"), "{why}");
    assert_eq!(counted(&ledger), truth);
}

#[test]
fn a_journal_that_was_rewritten_is_refused() {
    let machine = Machine::new();
    let mut writer = machine.begin("a", "one");
    machine.beat(&mut writer, 3);
    let mut ledger = machine.ledger();
    ingest(&machine, &mut ledger);
    let path = writer.path().to_owned();
    drop(writer);
    fs::remove_file(&path).unwrap();
    machine.clock.0.set(0);
    let mut writer = machine.begin("a", "one");
    machine.pass(1);
    machine.beat(&mut writer, 3);
    writer.write(Event::End(EndReason::Ended)).unwrap();
    let why = refused(&ingest(&machine, &mut ledger));
    assert!(why.contains("record 3 is not what it was"), "{why}");
    assert_eq!(ledger.status().unwrap().records, 4);
}

#[test]
fn what_a_loss_of_power_takes_from_a_journal_stays_in_the_ledger() {
    let machine = Machine::new();
    let mut writer = machine.begin("a", "one");
    machine.beat(&mut writer, 30);
    let mut ledger = machine.ledger();
    ingest(&machine, &mut ledger);
    let truth = machine.truth();
    let file = fs::OpenOptions::new().write(true).open(writer.path());
    file.unwrap().set_len(writer.length() / 2).unwrap();
    drop(writer);
    let ingested = ingest(&machine, &mut ledger);
    assert!(ingested.refused.is_empty(), "{ingested:?}");
    assert_eq!(counted(&ledger), truth);
    assert_verified(&ledger);
}

#[test]
fn a_life_longer_than_any_machines_is_refused() {
    let machine = Machine::new();
    let mut writer = machine.begin("a", "one");
    machine.pass(11 * 366 * 86_400);
    machine.beat(&mut writer, 1);
    let mut ledger = machine.ledger();
    let why = refused(&ingest(&machine, &mut ledger));
    assert!(why.contains("record 1 lies more than ten years"), "{why}");
    assert_eq!(ledger.status().unwrap().journals, 0);
}

#[test]
fn a_pod_that_never_began_is_no_pod() {
    let machine = Machine::new();
    machine.live("a", "one", 1);
    let journals = machine.journals.all().unwrap();
    fs::write(&journals[0].path, "skete-usage 1\n").unwrap();
    let mut ledger = machine.ledger();
    let ingested = ingest(&machine, &mut ledger);
    assert_eq!((ingested.empty, ingested.refused.len()), (1, 0));
    assert_eq!(ledger.namespaces(ALL_HOURS).unwrap(), []);
}
