use super::*;

/// One vCPU for 3600 per hour: a vCPU-second costs 1.
const LIST: &str = r#"
name = "test"
title = "Test"
version = "1"
currency = "EUR"

[[period]]
from = 1970-01-01

[[period.rate]]
sku = "vcpu"
meter = "vcpu"
price = "3600"
"#;

fn used(namespace: &str, uid: &str, start_s: i64, end_s: i64) -> PodUse {
    let text = format!(
        r#"{{
            "pod": {{"uid": "{uid}", "name": "web", "namespace": "{namespace}", "node": "n",
                "architecture": "amd64", "runtime": "skete"}},
            "spans": [{{"startNs": {start_s}000000000, "endNs": {end_s}000000000,
                "provisioned": {{"milliVcpus": 1000}}, "requested": {{}}, "limits": {{}}, "used": {{}}}}],
            "containerStarts": 1, "imageBytes": 0, "ended": "seen"
        }}"#
    );
    serde_json::from_str(&text).unwrap()
}

fn report_of(window: (i64, i64), by: &str) -> Report {
    let list = PriceList::parse(LIST, "test.toml").unwrap_or_else(|error| panic!("{error}"));
    let pods = [
        used("a", "1", 10, 20),
        used("a", "2", 10, 30),
        used("b", "3", 60, 61),
    ];
    let window = Window::new(window.0 * 1_000_000_000, window.1 * 1_000_000_000).unwrap();
    let mut problems = Problems::default();
    let report = report(&list, window, &by.parse().unwrap(), &pods, &mut problems);
    assert!(problems.0.is_empty(), "{:?}", problems.0);
    report
}

#[test]
fn pods_of_one_name_are_told_apart_and_the_rows_sum_to_the_total() {
    let report = report_of((0, 100), "pod");
    let amounts: Vec<_> = report.rows.iter().map(|row| row.amount.as_str()).collect();
    assert_eq!(amounts, ["10.00", "20.00", "1.00"]);
    assert_eq!(report.total, "31.00");
}

#[test]
fn a_window_charges_what_is_in_it() {
    let report = report_of((15, 25), "namespace");
    assert_eq!(report.rows.len(), 1);
    assert_eq!(report.total, "15.00");
}

#[test]
fn the_table_ends_with_the_total() {
    let report = report_of((0, 100), "namespace");
    let table = table(&report, &By::Namespace);
    let lines: Vec<Vec<_>> = table
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(lines[1], ["a", "2", "30.00", "EUR"]);
    assert_eq!(lines[3], ["total", "31.00", "EUR"]);
}
