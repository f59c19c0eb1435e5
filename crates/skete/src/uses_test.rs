use super::*;

fn sandbox(uid: &str, start: i64, ended: Ended) -> PodUse {
    let text = format!(
        r#"{{
            "pod": {{"uid": "{uid}", "name": "web", "namespace": "a", "node": "n",
                "architecture": "amd64", "runtime": "skete"}},
            "spans": [{{"startNs": {start}, "endNs": {}, "provisioned": {{"milliVcpus": 1}},
                "requested": {{}}, "limits": {{}}, "used": {{}}}}],
            "containerStarts": 1, "imageBytes": 5, "ended": "seen"
        }}"#,
        start + 10
    );
    PodUse {
        ended,
        ..serde_json::from_str(&text).unwrap()
    }
}

#[test]
fn sandboxes_of_one_pod_are_charged_as_one_and_a_name_used_again_is_another() {
    let pods = by_pod(vec![
        sandbox("1", 50, Ended::Seen),
        sandbox("2", 20, Ended::Running),
        sandbox("1", 0, Ended::Bounded),
    ]);
    assert_eq!(pods.len(), 2);
    let starts: Vec<_> = pods[0].spans.iter().map(|span| span.start_ns).collect();
    assert_eq!(starts, [0, 50]);
    assert_eq!((pods[0].container_starts, pods[0].image_bytes), (2, 10));
    assert_eq!(pods[0].ended, Ended::Seen);
    assert_eq!(pods[1].ended, Ended::Running);
}
