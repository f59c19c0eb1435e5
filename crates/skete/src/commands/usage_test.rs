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
        select: Selection {
            ledger: false,
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
fn pods_are_told_apart_by_uid() {
    let uses = [
        used("a", "web", "1", 5, Ended::Seen),
        used("a", "web", "2", 4, Ended::Running),
    ];
    let table = table("pod", &uses);
    assert_eq!(
        table[1..],
        [
            "a          web  seen     5.00 s  5.00    0.50  5.00   0.00  0 B / 0 B  0 B / 0 B  1",
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
    usage.select.since = Some("2026-11-24T12:00:00Z".parse().unwrap());
    usage.select.until = usage.select.since;
    let told = usage.select.window().unwrap_err();
    assert!(told.message().unwrap().contains("is not after --since"));
}

#[test]
fn namespace_and_labels_choose() {
    let pod = used("a", "web", "1", 1, Ended::Seen);
    let mut usage = usage("pod");
    assert!(usage.select.wants(&pod));
    usage.select.selector = Some("app=web".parse().unwrap());
    assert!(usage.select.wants(&pod));
    usage.select.namespace = Some("b".into());
    assert!(!usage.select.wants(&pod));
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

#[test]
fn a_time_may_be_seconds_with_a_fraction_to_the_nanosecond() {
    let ns = |text| since(text).map(Timestamp::as_nanosecond);
    assert_eq!(ns("1764000000").unwrap(), 1_764_000_000_000_000_000);
    assert_eq!(ns("1764000000.25").unwrap(), 1_764_000_000_250_000_000);
    assert_eq!(ns("1.000000001").unwrap(), 1_000_000_001);
    let zulu = ns("2026-11-24T12:00:00.001Z").unwrap();
    assert_eq!(zulu % 1_000_000_000, 1_000_000);
    for wrong in [
        "1.0000000001",
        ".5",
        "1.",
        "1e3",
        "yesterday",
        "99999999999999",
    ] {
        assert!(since(wrong).is_err(), "{wrong}");
    }
}
