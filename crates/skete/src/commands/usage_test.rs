use super::super::which::By;
use super::*;

/// A Pod that had 1 vCPU and 1 GiB for so many seconds.
fn used(namespace: &str, name: &str, uid: &str, seconds: i64, ended: Ended) -> PodUse {
    let text = format!(
        r#"{{
            "pod": {{
                "uid": "{uid}", "name": "{name}", "namespace": "{namespace}",
                "labels": {{"app": "{name}"}},
                "controller": {{"kind": "Job", "name": "j"}},
                "node": "n", "architecture": "amd64", "runtime": "skete"
            }},
            "spans": [{{
                "startNs": 0, "endNs": {seconds}000000000,
                "provisioned": {{"milliVcpus": 1000, "memoryBytes": 1073741824}},
                "requested": {{}}, "limits": {{}}, "used": {{"cpuNs": 500000000}}
            }}],
            "containerStarts": 1, "imageBytes": 0, "ended": "seen"
        }}"#
    );
    PodUse {
        ended,
        ..serde_json::from_str(&text).unwrap()
    }
}

fn usage(by: &str) -> Usage {
    Usage {
        which: Which {
            since: None,
            until: None,
            namespace: None,
            selector: None,
            by: by.parse().unwrap(),
        },
        output: Form::Table,
    }
}

fn table(by: &str, uses: &[PodUse]) -> Vec<String> {
    let usage = usage(by);
    let table = usage.table(&usage.sums(uses));
    table.lines().map(str::to_owned).collect()
}

#[test]
fn pods_are_told_apart_by_uid_and_sandboxes_of_one_are_added_up() {
    let uses = [
        used("a", "web", "1", 2, Ended::Bounded),
        used("a", "web", "1", 3, Ended::Seen),
        used("a", "web", "2", 4, Ended::Running),
    ];
    let table = table("pod", &uses);
    assert_eq!(
        table[1..],
        [
            "a          web  seen     5.00 s  5.00    1.00  5.00   0.00  0 B / 0 B  0 B / 0 B  2",
            "a          web  running  4.00 s  4.00    0.50  4.00   0.00  0 B / 0 B  0 B / 0 B  1",
        ]
    );
}

#[test]
fn namespaces_controllers_and_labels_add_up_their_pods() {
    let uses = [
        used("a", "web", "1", 1, Ended::Seen),
        used("a", "db", "2", 1, Ended::Seen),
        used("b", "web", "3", 1, Ended::Seen),
    ];
    let rows = |by: &str| {
        let table = table(by, &uses);
        let words = |line: &String| {
            line.split_whitespace()
                .take(3)
                .collect::<Vec<_>>()
                .join(" ")
        };
        table[1..].iter().map(words).collect::<Vec<_>>()
    };
    assert_eq!(rows("namespace"), ["a 2 2.00", "b 1 1.00"]);
    assert_eq!(rows("controller"), ["a Job/j 2", "b Job/j 1"]);
    assert_eq!(rows("label:app"), ["db 1 1.00", "web 2 2.00"]);
    assert_eq!(rows("label:none"), ["<none> 3 3.00"]);
}

#[test]
fn what_cannot_be_added_up_by_is_refused() {
    for wrong in ["pods", "label", "label:", ""] {
        assert!(wrong.parse::<By>().unwrap_err().contains("label:KEY"));
    }
}

#[test]
fn a_window_without_time_is_refused() {
    let mut usage = usage("pod");
    usage.which.since = Some("2026-11-24T12:00:00Z".parse().unwrap());
    usage.which.until = usage.which.since;
    let told = usage.which.window().unwrap_err();
    assert!(told.message().unwrap().contains("is not after --since"));
}

#[test]
fn namespace_and_labels_choose() {
    let pod = used("a", "web", "1", 1, Ended::Seen);
    let mut usage = usage("pod");
    assert!(usage.which.wants(&pod));
    usage.which.selector = Some("app=web".parse().unwrap());
    assert!(usage.which.wants(&pod));
    usage.which.namespace = Some("b".into());
    assert!(!usage.which.wants(&pod));
}

#[test]
fn sums_are_whole_numbers_in_json() {
    let usage = usage("namespace");
    let sums = usage.sums(&[used("a", "web", "1", 100, Ended::Seen)]);
    let (key, sum) = sums.iter().next().unwrap();
    let json = serde_json::to_string(&Row { key, sum }).unwrap();
    assert!(
        json.contains(r#""memoryByteNs":107374182400000000000,"#),
        "{json}"
    );
}
