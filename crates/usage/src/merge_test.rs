use super::*;
use crate::pod_use::{Ended, Size, Span, Used};
use crate::record::tests::opening;

fn used(uid: &str, spans: &[(i64, i64)], ended: Ended) -> PodUse {
    let span = |&(start_ns, end_ns): &(i64, i64)| Span {
        start_ns,
        end_ns,
        provisioned: Size::default(),
        requested: Size::default(),
        limits: Size::default(),
        used: Used::default(),
    };
    let mut pod = opening().pod;
    pod.uid = uid.to_owned();
    PodUse {
        pod,
        spans: spans.iter().map(span).collect(),
        container_starts: 1,
        image_bytes: 10,
        ended,
    }
}

type Told<'a> = (&'a str, Vec<(i64, i64)>, Ended);

fn told(pods: &[PodUse]) -> Vec<Told<'_>> {
    let spans = |used: &PodUse| used.spans.iter().map(|s| (s.start_ns, s.end_ns)).collect();
    let pods = pods.iter();
    pods.map(|used| (used.pod.uid.as_str(), spans(used), used.ended))
        .collect()
}

#[test]
fn the_sandboxes_of_a_pod_are_one_in_their_order() {
    let pods = by_pod(vec![
        used("a", &[(50, 60)], Ended::Running),
        used("b", &[(5, 6)], Ended::Seen),
        used("a", &[(10, 20), (20, 30)], Ended::Bounded),
    ]);
    assert_eq!(
        told(&pods),
        [
            ("b", vec![(5, 6)], Ended::Seen),
            ("a", vec![(10, 20), (20, 30), (50, 60)], Ended::Running),
        ]
    );
    assert_eq!((pods[1].container_starts, pods[1].image_bytes), (2, 20));
}

#[test]
fn a_clock_that_was_set_back_loses_and_doubles_nothing() {
    let pods = by_pod(vec![
        used("a", &[(10, 30)], Ended::Bounded),
        used("a", &[(15, 20), (20, 28)], Ended::Seen),
    ]);
    let spans = vec![(10, 30), (30, 35), (35, 43)];
    assert_eq!(told(&pods), [("a", spans, Ended::Seen)]);
}

#[test]
fn a_sandbox_without_time_changes_no_end() {
    let pods = by_pod(vec![
        used("a", &[(10, 30)], Ended::Seen),
        used("a", &[], Ended::Bounded),
    ]);
    assert_eq!(told(&pods), [("a", vec![(10, 30)], Ended::Seen)]);
}
