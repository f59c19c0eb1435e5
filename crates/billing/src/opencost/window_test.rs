use super::*;

/// A Tuesday.
const NOW: &str = "2026-11-24T03:25:20Z";

fn window(text: &str) -> String {
    let now: Timestamp = NOW.parse().unwrap();
    let now = i64::try_from(now.as_nanosecond()).unwrap();
    match parse(text, now) {
        Ok(window) => {
            let shown = |ns: i64| Timestamp::from_nanosecond(ns.into()).unwrap().to_string();
            format!("{} {}", shown(window.from_ns), shown(window.to_ns))
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_form_of_a_window_is_what_opencost_takes_it_for() {
    for (text, start, end) in [
        ("today", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"),
        ("yesterday", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"),
        ("week", "2026-11-22T00:00:00Z", NOW),
        ("lastweek", "2026-11-15T00:00:00Z", "2026-11-22T00:00:00Z"),
        ("month", "2026-11-01T00:00:00Z", NOW),
        ("lastmonth", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z"),
        ("7d", "2026-11-18T00:00:00Z", "2026-11-25T00:00:00Z"),
        ("1w", "2026-11-18T00:00:00Z", "2026-11-25T00:00:00Z"),
        ("2h", "2026-11-24T02:00:00Z", "2026-11-24T04:00:00Z"),
        (
            "1h offset 1d",
            "2026-11-23T02:25:20Z",
            "2026-11-23T03:25:20Z",
        ),
        ("0,60", "1970-01-01T00:00:00Z", "1970-01-01T00:01:00Z"),
        ("0-60", "1970-01-01T00:00:00Z", "1970-01-01T00:01:00Z"),
        (
            "2026-11-01T00:00:00Z,2026-11-01T00:00:00.25Z",
            "2026-11-01T00:00:00Z",
            "2026-11-01T00:00:00.25Z",
        ),
    ] {
        assert_eq!(window(text), format!("{start} {end}"), "{text}");
    }
}

#[test]
fn what_is_no_window_is_refused() {
    for text in [
        "",
        "d",
        "0d",
        "-1d",
        "+1d",
        "7y",
        "é",
        "1,x",
        "99999999999999999d",
        "2026-11-01,",
    ] {
        assert!(
            window(text).contains("is no window"),
            "{text}: {}",
            window(text)
        );
    }
    assert!(window("60,60").contains("ends before it begins"));
    assert!(window("60,0").contains("ends before it begins"));
    assert!(window("0,9000000000").contains("longer than ten years"));
}
