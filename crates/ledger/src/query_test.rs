use skete_usage::{HOUR_NS, Totals};

use super::*;
use crate::ALL_HOURS;
use crate::testing::{HOUR, Machine, SECOND, counted};

fn full() -> (Machine, Ledger) {
    let machine = Machine::new();
    machine.live("a-1", "one", 900);
    machine.live("a-2", "two", 3);
    machine.live("b-1", "three", 400);
    let mut ledger = machine.ledger();
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    (machine, ledger)
}

#[test]
fn a_pods_use_is_what_its_journal_comes_to_in_any_window() {
    let (machine, ledger) = full();
    let middle = HOUR * HOUR_NS + 1234 * SECOND + 5;
    for window in [
        Window::ALL,
        Window {
            to_ns: middle,
            ..Window::ALL
        },
        Window {
            from_ns: middle,
            ..Window::ALL
        },
    ] {
        let uses = ledger.pod_uses(window).unwrap();
        let mut uses = uses.collect::<Result<Vec<_>, _>>().unwrap();
        let journals = machine.journals.all().unwrap();
        let folded = journals.iter().map(|j| j.fold(window).unwrap().unwrap());
        let mut folded: Vec<_> = folded.filter(|used| !used.spans.is_empty()).collect();
        assert!(!folded.is_empty());
        uses.sort_by(|a, b| a.pod.uid.cmp(&b.pod.uid));
        folded.sort_by(|a, b| a.pod.uid.cmp(&b.pod.uid));
        assert_eq!(uses, folded);
    }
}

#[test]
fn a_pod_of_two_sandboxes_is_one() {
    let machine = Machine::new();
    machine.live("a", "one", 5);
    machine.pass(5);
    let mut second = machine.begin("a", "two");
    machine.beat(&mut second, 5);
    let mut ledger = machine.ledger();
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    let uses = ledger.pod_uses(Window::ALL).unwrap();
    let uses = uses.collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(uses.len(), 1);
    assert_eq!(uses[0].spans.len(), 2);
    assert_eq!(uses[0].container_starts, 1);
    assert_eq!(uses[0].ended, Ended::Running);
    let namespaces = ledger.namespaces(HOUR..HOUR + 1).unwrap();
    assert_eq!((namespaces.len(), namespaces[0].pods), (1, 1));
}

#[test]
fn hours_add_up_to_what_pods_used() {
    let (machine, ledger) = full();
    assert_eq!(counted(&ledger), machine.truth());
    for by in [By::Sandbox, By::Namespace] {
        let mut sum = Quantities::default();
        let each = |row: &HourRow| {
            assert_eq!(row.sandbox.is_some(), by == By::Sandbox);
            sum.add(&row.quantities);
            Ok(())
        };
        ledger.hours(ALL_HOURS, by, each).unwrap();
        assert_eq!(sum, machine.truth());
    }
    let last = HOUR + 3;
    let window = Window {
        from_ns: last * HOUR_NS,
        to_ns: (last + 1) * HOUR_NS,
    };
    let mut totals = Totals::default();
    for used in ledger.pod_uses(window).unwrap() {
        totals.add(&used.unwrap());
    }
    let namespaces = ledger.namespaces(last..last + 1).unwrap();
    let [only] = &namespaces[..] else {
        panic!("{namespaces:?}");
    };
    assert_eq!((only.namespace.as_str(), only.pods), ("b", 1));
    assert_eq!(only.quantities, (&totals).into());
}

#[test]
fn a_status_tells_what_there_is() {
    let (machine, ledger) = full();
    let status = ledger.status().unwrap();
    assert_eq!((status.pods, status.journals, status.running), (3, 3, 0));
    assert_eq!(status.records, 1303 + 3 * 4);
    let end = machine.clock.0.get() * SECOND + 17;
    let start = HOUR * HOUR_NS;
    assert_eq!(status.time_ns, Some((start + 17, start + end)));
    assert!(status.closed.is_none() && status.bytes > 0);
}

#[test]
fn whoever_cannot_take_rows_is_told() {
    let (_machine, ledger) = full();
    let full = |_: &HourRow| Err(std::io::ErrorKind::StorageFull.into());
    let error = ledger.hours(ALL_HOURS, By::Sandbox, full).unwrap_err();
    assert!(matches!(error.source, Problem::Write(_)), "{error:?}");
}
