use super::*;
use crate::clock::Moment;
use crate::record::tests::opening;
use crate::record::{EndReason, Record};

const SECOND: i64 = 1_000_000_000;
const MIB: u64 = 1 << 20;
/// What the wall clock says at second 100 of the monotonic one.
const NOON: i64 = 1_764_000_000 * SECOND;

/// A journal of events at seconds of the monotonic clock; the first record is at second 100.
fn journal(opening: Opening, events: Vec<(u64, Event)>) -> Vec<u8> {
    let open = (100, Event::Open(Box::new(opening)));
    let mut text = String::from("skete-usage 1\n");
    for (index, (second, event)) in std::iter::once(open).chain(events).enumerate() {
        let record = Record {
            sequence: index as u32,
            at: Moment {
                monotonic_ns: second * SECOND as u64,
                // It is right once, and jumps then.
                wall_ns: if index == 0 { NOON } else { index as i64 },
            },
            event,
        };
        text.push_str(&record.to_line().unwrap());
    }
    text.into_bytes()
}

fn of(bytes: &[u8], window: Window) -> PodUse {
    fold(Reader::new(bytes).unwrap(), window, false).unwrap()
}

fn host(cpu_s: u64, memory_mib: u64) -> Event {
    Event::Host(Counters {
        cpu_ns: cpu_s * SECOND as u64,
        memory_bytes: memory_mib * MIB,
        ..Counters::default()
    })
}

fn end() -> Event {
    Event::End(EndReason::Stopped)
}

#[test]
fn durations_are_the_monotonic_clocks_and_their_place_is_the_first_records() {
    let life = journal(
        opening(),
        vec![(103, Event::Start("a".into())), (107, end())],
    );
    let used = of(&life, Window::ALL);
    assert_eq!(used.spans.len(), 1);
    assert_eq!(used.spans[0].start_ns, NOON);
    assert_eq!(used.spans[0].end_ns, NOON + 7 * SECOND);
    assert_eq!(used.spans[0].provisioned, opening().provisioned);
    assert_eq!((used.ended, used.container_starts), (Ended::Seen, 1));
}

#[test]
fn the_download_of_images_counts_from_its_beginning() {
    let pulled = Opening {
        since_ns: Some(90 * SECOND as u64),
        ..opening()
    };
    let life = journal(pulled, vec![(100, Event::Image(77)), (101, end())]);
    let used = of(&life, Window::ALL);
    assert_eq!(used.spans[0].start_ns, NOON - 10 * SECOND);
    assert_eq!(used.spans[0].end_ns, NOON + SECOND);
    assert_eq!(used.image_bytes, 77);
}

#[test]
fn a_resize_begins_a_span_and_use_between_samples_is_shared_by_time() {
    let larger = Size {
        memory_bytes: 1024 * MIB,
        ..opening().provisioned
    };
    let life = journal(
        opening(),
        vec![
            (100, host(0, 100)),
            (104, Event::Provisioned(larger)),
            (104, Event::Limits(larger)),
            (110, host(10, 100)),
            (111, end()),
        ],
    );
    let used = of(&life, Window::ALL);
    let [first, second] = used.spans[..] else {
        panic!("{used:?}");
    };
    assert_eq!(
        (first.used.cpu_ns, second.used.cpu_ns),
        (4 * SECOND as u64, 6 * SECOND as u64)
    );
    assert_eq!(first.end_ns, second.start_ns);
    assert_eq!((second.provisioned, second.limits), (larger, larger));
    let memory = |seconds: u128| u128::from(100 * MIB) * seconds * SECOND as u128;
    // After the last sample memory stays as it was.
    assert_eq!(first.used.memory_byte_ns, memory(4));
    assert_eq!(second.used.memory_byte_ns, memory(7));
}

#[test]
fn an_end_that_was_not_seen_is_where_something_was_written_last() {
    let life = journal(opening(), vec![(110, host(3, 50))]);
    let used = of(&life, Window::ALL);
    assert_eq!(used.ended, Ended::Bounded);
    assert_eq!(used.spans[0].end_ns, NOON + 10 * SECOND);
    let alive = fold(Reader::new(&life[..]).unwrap(), Window::ALL, true).unwrap();
    assert_eq!(alive.ended, Ended::Running);
    let closed = journal(opening(), vec![(110, end())]);
    let seen = fold(Reader::new(&closed[..]).unwrap(), Window::ALL, true).unwrap();
    assert_eq!(seen.ended, Ended::Seen);
}

#[test]
fn a_window_takes_its_part_to_the_nanosecond() {
    let life = journal(
        opening(),
        vec![(100, host(0, 64)), (110, host(5, 64)), (120, end())],
    );
    let window = Window {
        from_ns: NOON + SECOND,
        to_ns: NOON + 3 * SECOND + 1,
    };
    let used = of(&life, window);
    assert_eq!(used.spans[0].start_ns, window.from_ns);
    assert_eq!(used.spans[0].end_ns, window.to_ns);
    assert_eq!(used.spans[0].used.cpu_ns, SECOND as u64);
    let before = Window {
        from_ns: 0,
        to_ns: NOON,
    };
    assert!(of(&life, before).spans.is_empty());
}

#[test]
fn hours_are_what_the_windows_of_the_hours_are() {
    let pulled = Opening {
        since_ns: Some(10 * SECOND as u64),
        ..opening()
    };
    let larger = Size {
        milli_vcpus: 4000,
        ..opening().provisioned
    };
    let life = journal(
        pulled,
        vec![
            (101, Event::Image(33)),
            (102, host(1, 77)),
            (3000, Event::Start("a".into())),
            (3700, Event::Provisioned(larger)),
            (5000, host(1001, 3)),
            (20_000, host(1013, 999)),
            (20_001, Event::Start("b".into())),
            (24_007, end()),
        ],
    );
    let hours = fold_hours(Reader::new(&life[..]).unwrap()).unwrap();
    assert_eq!(hours.len(), 8);
    for (hour, totals) in hours {
        let window = Window {
            from_ns: hour * HOUR_NS,
            to_ns: (hour + 1) * HOUR_NS,
        };
        let mut expected = Totals::default();
        expected.add(&of(&life, window));
        assert_eq!(totals, expected, "hour {hour}");
    }
}

#[test]
fn a_counter_that_goes_back_takes_nothing_away() {
    let life = journal(
        opening(),
        vec![
            (101, host(5, 1)),
            (102, host(3, 1)),
            (103, host(6, 1)),
            (104, end()),
        ],
    );
    assert_eq!(
        of(&life, Window::ALL).spans[0].used.cpu_ns,
        6 * SECOND as u64
    );
}

#[test]
fn counters_of_any_size_break_nothing() {
    let most = Event::Host(Counters {
        cpu_ns: u64::MAX,
        memory_bytes: u64::MAX,
        block_read_bytes: u64::MAX,
        block_written_bytes: u64::MAX,
        network_received_bytes: u64::MAX,
        network_sent_bytes: u64::MAX,
    });
    let later = 4_000_000_000;
    let life = journal(
        opening(),
        vec![(101, most.clone()), (later, most), (later, end())],
    );
    let used = of(&life, Window::ALL).spans[0].used;
    assert_eq!(used.network_sent_bytes, u64::MAX);
}
