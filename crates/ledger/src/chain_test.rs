use super::*;
use crate::testing::{HOUR, Machine, assert_true, assert_verified};

fn closed(machine: &Machine) -> Ledger {
    let mut ledger = machine.ledger();
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    ledger.close_before(HOUR + 100).unwrap();
    ledger
}

fn head_of(ledger: &Ledger) -> (i64, Hash) {
    ledger.status().unwrap().closed.unwrap()
}

#[test]
fn a_hash_depends_on_the_records_and_not_on_how_they_came() {
    let machine = Machine::new();
    machine.live("a", "one", 1000);
    machine.live("b", "two", 20);
    let hash = head_of(&closed(&machine));

    let other = Machine::at(machine.state.clone());
    let path = machine.state.join("other.db");
    let mut ledger = Ledger::create(&path).unwrap();
    let mut journals = other.journals.all().unwrap();
    journals.reverse();
    for journal in journals {
        ledger.ingest([journal]).unwrap();
    }
    for hour in HOUR..HOUR + 100 {
        ledger.close_before(hour).unwrap();
    }
    assert_eq!(head_of(&ledger), hash);

    machine.live("c", "three", 1);
    let mut third = Ledger::create(&machine.state.join("third.db")).unwrap();
    third.ingest(machine.journals.all().unwrap()).unwrap();
    third.close_before(HOUR + 100).unwrap();
    assert_ne!(head_of(&third).1, hash.1);
}

#[test]
fn what_is_late_is_answered_for_by_the_open_hour_and_changes_no_hash() {
    let machine = Machine::new();
    machine.live("a", "one", 500);
    let mut ledger = closed(&machine);
    let before = head_of(&ledger);
    assert_eq!(ledger.close_before(HOUR + 100).unwrap(), 0);

    // It begins in an hour that is closed.
    machine.clock.0.set(60);
    machine.live("b", "late", 10);
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    assert_eq!(head_of(&ledger), before);
    assert_true(&machine, &ledger);
    assert_eq!(ledger.close_before(HOUR + 100).unwrap(), 1);
    let after = head_of(&ledger);
    assert_eq!(after.0, before.0 + 1);
    assert_verified(&ledger);
    // Its use is where it was, for all that.
    let of_first = ledger.namespaces(HOUR..HOUR + 1).unwrap();
    assert!(
        of_first.iter().any(|of| of.namespace == "b"),
        "{of_first:?}"
    );
}

#[test]
fn facts_and_closed_hours_can_only_be_added_to() {
    let machine = Machine::new();
    machine.live("a", "one", 500);
    let ledger = closed(&machine);
    for statement in [
        "UPDATE record SET line = 'x' WHERE sequence = 1",
        "DELETE FROM record WHERE sequence = 1",
        "UPDATE closed SET hash = zeroblob(32)",
        "DELETE FROM closed",
        "DELETE FROM posting",
        "UPDATE posting SET next = next + 1",
        "INSERT INTO posting (hour, journal, first, next) SELECT 1, id, 0, 1 FROM journal",
    ] {
        let refused = ledger.sqlite.execute(statement, []).unwrap_err();
        let never = refused.to_string();
        assert!(
            never.contains("never") || never.contains("nothing more"),
            "{never}"
        );
    }
    assert_true(&machine, &ledger);
}

#[test]
fn a_hash_is_read_as_it_is_shown() {
    let hash = Hash(std::array::from_fn(|index| index as u8 * 7));
    assert_eq!(hash.to_string().parse(), Ok(hash));
    for wrong in ["", "12", &"x".repeat(64), &"é".repeat(32)] {
        assert!(wrong.parse::<Hash>().is_err(), "{wrong}");
    }
}
