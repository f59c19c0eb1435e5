use std::collections::BTreeMap;

use super::*;
use crate::pod_use::Controller;

pub(crate) fn opening() -> Opening {
    Opening {
        pod: Pod {
            uid: "3d5c1ad1-2d4b-4f0a-9d7e-5d2a4c1f0b11".into(),
            name: "web-1".into(),
            namespace: "shop".into(),
            namespace_uid: None,
            labels: BTreeMap::from([("app".into(), "web 1".into())]),
            controller: Some(Controller {
                kind: "StatefulSet".into(),
                name: "web".into(),
            }),
            node: "node-1".into(),
            architecture: "amd64".into(),
            runtime: "skete".into(),
            annotations: BTreeMap::new(),
        },
        sandbox: "a1b2".into(),
        boot: "8c7d".into(),
        since_ns: None,
        provisioned: Size {
            milli_vcpus: 1000,
            memory_bytes: 560 << 20,
            storage_bytes: 10 << 30,
            gpus: 0,
        },
        requested: Size::default(),
        limits: Size::default(),
        overhead: Size::default(),
    }
}

fn every_kind(n: u64, id: &str) -> Vec<Event> {
    let size = Size {
        milli_vcpus: n,
        memory_bytes: n,
        storage_bytes: n,
        gpus: n,
    };
    vec![
        Event::Image(n),
        Event::Ready,
        Event::Provisioned(size),
        Event::Requested(size),
        Event::Limits(size),
        Event::Start(id.into()),
        Event::Exit(id.into(), u32::MAX),
        Event::Pause(id.into()),
        Event::Resume(id.into()),
        Event::Host(Counters {
            cpu_ns: n,
            memory_bytes: n,
            block_read_bytes: n,
            block_written_bytes: n,
            network_received_bytes: n,
            network_sent_bytes: n,
        }),
        Event::Guest(Guest {
            cpu_ns: n,
            memory_bytes: n,
            working_set_bytes: n,
        }),
        Event::End(EndReason::Stopped),
    ]
}

#[test]
fn every_record_but_the_first_has_at_most_200_bytes_and_is_read_as_it_was_written() {
    let id = "f".repeat(76);
    for event in every_kind(u64::MAX, &id) {
        let record = Record {
            sequence: u32::MAX,
            at: Moment {
                monotonic_ns: MAX_CLOCK,
                wall_ns: -(MAX_CLOCK as i64),
            },
            event,
        };
        let line = record.to_line().unwrap();
        assert!(line.len() <= MAX_RECORD, "{} {line}", line.len());
        let read = Record::of_line(line.trim_end_matches('\n').as_bytes());
        assert_eq!(read.unwrap(), record);
    }
}

#[test]
fn the_first_record_keeps_labels_with_blanks() {
    let record = Record {
        sequence: 0,
        at: Moment::default(),
        event: Event::Open(Box::new(opening())),
    };
    let line = record.to_line().unwrap();
    assert_eq!(line.matches('\n').count(), 1);
    assert_eq!(Record::of_line(line.trim_end().as_bytes()).unwrap(), record);
}

#[test]
fn any_changed_bit_is_noticed() {
    for event in every_kind(7, "abc") {
        let record = Record {
            sequence: 3,
            at: Moment {
                monotonic_ns: 5,
                wall_ns: 6,
            },
            event,
        };
        let line = record.to_line().unwrap();
        let line = line.trim_end().as_bytes();
        for bit in 0..line.len() * 8 {
            let mut changed = line.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::of_line(&changed), Err(BadLine::Checksum));
        }
    }
}

#[test]
fn an_id_cannot_break_a_line() {
    let record = Record {
        sequence: 1,
        at: Moment::default(),
        event: Event::Start("a b\nend stopped\u{e4}".into()),
    };
    let line = record.to_line().unwrap();
    let read = Record::of_line(line.trim_end().as_bytes()).unwrap();
    assert_eq!(read.event, Event::Start("a_b_end_stopped_".into()));
}

/// A line with the right checksum, whatever is in it.
pub(crate) fn summed(text: &str) -> String {
    format!("{:08x} {text}", crc32fast::hash(text.as_bytes()))
}

#[test]
fn what_is_whole_and_not_understood_is_told_apart_from_what_is_torn() {
    let cases = [
        ("1 2 3 dance", "unknown kind"),
        ("1 2 3 image", "missing"),
        ("1 2 3 image 4 5", "too many"),
        ("1 2 3 image -4", "not a number"),
        ("x 2 3 ready", "not a number"),
        ("1 2 3 end whatever", "unknown reason"),
        ("1 2 3 open {}", "JSON"),
        ("1 9223372036854775807 3 ready", "clock"),
    ];
    for (text, word) in cases {
        match Record::of_line(summed(text).as_bytes()) {
            Err(BadLine::Content(what)) => assert!(what.contains(word), "{text}: {what}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}
