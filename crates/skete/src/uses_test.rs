use skete_usage::{Clock, Counters, EndReason, Event, Moment, Opening, Writer};

use super::*;

const SECOND: i64 = 1_000_000_000;

/// A clock that moves on by ten seconds when it is read.
struct Tens(std::cell::Cell<i64>);

impl Clock for Tens {
    fn now(&self) -> Moment {
        let now = self.0.replace(self.0.get() + 10);
        Moment {
            monotonic_ns: (now * SECOND).unsigned_abs(),
            wall_ns: now * SECOND,
        }
    }
}

#[test]
fn in_detail_what_was_used_is_where_it_was_used() {
    let root = tempfile::tempdir().unwrap();
    let paths = Paths::new(root.path(), root.path().join("run"));
    let opening: Opening = serde_json::from_value(serde_json::json!({
        "pod": {"uid": "u", "name": "web", "namespace": "a", "node": "n", "architecture": "amd64",
            "runtime": "skete"},
        "sandbox": "s", "boot": "b", "provisioned": {"milliVcpus": 1000},
    }))
    .unwrap();
    let place = paths.journals().place("b", "skete", "s", 0);
    let mut writer = Writer::create(&place, opening, Tens(0.into())).unwrap();
    for cpu_ns in [8_000_000_000, 9_000_000_000] {
        let counters = Counters {
            cpu_ns,
            ..Counters::default()
        };
        writer.write(Event::Host(counters)).unwrap();
    }
    writer.write(Event::End(EndReason::Ended)).unwrap();
    drop(writer);

    let all = uses(&paths, false, Window::ALL).unwrap_or_else(|_| panic!("no journals"));
    let steps: Vec<_> = (0..4)
        .map(|step| Window::of_length(step * 10 * SECOND, SECOND.unsigned_abs() * 10))
        .collect();
    let fine = in_detail(&paths, &all.pods[0], &steps);
    let fine = fine.unwrap_or_else(|_| panic!("no journals")).unwrap();
    let used: Vec<_> = fine.spans.iter().map(|span| span.used.cpu_ns).collect();
    assert_eq!(used, [8_000_000_000, 1_000_000_000, 0]);
}
