use super::*;
use crate::testing::{HOUR, Machine, assert_verified};

/// A ledger of two Pods with some hours closed, after somebody has written to it by hand.
fn changed_by(statement: &str) -> Vec<String> {
    let machine = Machine::new();
    machine.live("a", "one", 900);
    machine.live("b", "two", 50);
    let mut ledger = machine.ledger();
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    ledger.close_before(HOUR + 2).unwrap();
    assert_verified(&ledger);
    let triggers = "SELECT 'DROP TRIGGER ' || name FROM sqlite_schema WHERE type = 'trigger'";
    let triggers: Vec<String> = {
        let mut select = ledger.sqlite.prepare(triggers).unwrap();
        let found = select.query_map([], |row| row.get(0)).unwrap();
        found.collect::<Result<_, _>>().unwrap()
    };
    for trigger in triggers {
        ledger.sqlite.execute(&trigger, []).unwrap();
    }
    assert!(ledger.sqlite.execute(statement, []).unwrap() > 0);
    let mut findings = Vec::new();
    let tell = |finding: Finding| findings.push(finding.to_string());
    ledger.verify(None, tell).unwrap();
    findings
}

#[test]
fn every_change_is_found_and_told_where_it_is() {
    let first = format!("{} was closed with other records", hour_begins(HOUR));
    for (statement, expected) in [
        (
            "UPDATE record SET line = replace(line, 'host', 'hose') WHERE journal = 1 AND sequence = 9",
            vec![first.as_str(), "journal of sandbox one: line"],
        ),
        (
            "DELETE FROM record WHERE journal = 1 AND sequence = 903",
            vec![
                "journal of sandbox one: 903 records, 904 posted",
                "sum of sandbox one",
            ],
        ),
        (
            "DELETE FROM posting WHERE journal = 1",
            vec![
                first.as_str(),
                "was closed",
                "journal of sandbox one: 904 records, 0 posted",
            ],
        ),
        (
            "UPDATE pod_hour SET quantities = zeroblob(272) WHERE journal = 2",
            vec!["the sum of sandbox two", "the sum of a Namespace"],
        ),
        (
            "UPDATE namespace_hour SET quantities = zeroblob(272) WHERE namespace = 2",
            vec!["the sum of a Namespace"],
        ),
        (
            "DELETE FROM namespace_hour WHERE namespace = 2",
            vec!["the sum of a Namespace"],
        ),
        (
            "INSERT INTO pod_hour SELECT 7, namespace, journal, quantities FROM pod_hour LIMIT 1",
            vec![
                "5 sums of sandboxes, and there should be 4",
                "the sum of a Namespace",
            ],
        ),
        (
            "UPDATE closed SET hash = zeroblob(32) WHERE hour = (SELECT max(hour) FROM closed)",
            vec!["was closed with other records"],
        ),
    ] {
        let findings = changed_by(statement);
        for expected in expected {
            let told = findings.iter().any(|finding| finding.contains(expected));
            assert!(told, "{statement}: no {expected:?} in {findings:#?}");
        }
    }
}

#[test]
fn a_hash_that_was_noted_is_found_again() {
    let machine = Machine::new();
    machine.live("a", "one", 900);
    let mut ledger = machine.ledger();
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    ledger.close_before(HOUR + 1).unwrap();
    let noted = ledger.status().unwrap().closed.unwrap();
    ledger.close_before(HOUR + 9).unwrap();
    let verify = |hash| ledger.verify(Some(hash), |found| panic!("{found}"));
    let verified = verify(noted.1).unwrap();
    assert_eq!(verified.expected, Some(noted.0));
    assert_eq!((verified.hours, verified.journals), (3, 1));
    assert_ne!(verified.head, Some(noted));
    assert_eq!(verify(Hash([1; 32])).unwrap().expected, None);
}
