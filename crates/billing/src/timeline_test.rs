use super::*;
use crate::testing::list;

const LIST: &str = r#"
name = "test"
title = "A list for tests"
version = "1"
currency = "EUR"
time-zone = "Europe/Berlin"
[[period]]
from = 2026-01-01
[[period.rate]]
sku = "vcpu"
meter = "vcpu"
price = "1"
"#;

fn ns(text: &str) -> i64 {
    let moment: Timestamp = text.parse().unwrap();
    moment.as_nanosecond().try_into().unwrap()
}

fn window(from: &str, until: &str) -> Window {
    Window::new(ns(from), ns(until)).unwrap()
}

/// When the list's discounts hold, and which.
fn discounts(text: &str, window: Window) -> Vec<(String, u64)> {
    let list = list(&format!("{LIST}{text}"));
    let moment = |ns: i64| Timestamp::from_nanosecond(ns.into()).unwrap().to_string();
    segments(&list, window)
        .iter()
        .map(|s| (moment(s.window.from_ns), s.discounts))
        .collect()
}

#[test]
fn nights_are_cut_where_they_begin_and_end_by_the_clocks_of_the_zone() {
    let night = "[[discount]]\nname = \"night\"\npercent = 10\nhours = \"22:00-06:00\"\n";
    // Winter time is one hour before UTC; the night before reaches into the window.
    let cut = discounts(
        night,
        window("2026-01-10T00:00:00Z", "2026-01-11T00:00:00Z"),
    );
    let expected = [
        ("2026-01-10T00:00:00Z", 1),
        ("2026-01-10T05:00:00Z", 0),
        ("2026-01-10T21:00:00Z", 1),
    ];
    assert_eq!(cut, expected.map(|(at, bits)| (at.to_owned(), bits)));
    // The night of the change to summer time is an hour shorter.
    let cut = discounts(
        night,
        window("2026-03-28T20:00:00Z", "2026-03-29T12:00:00Z"),
    );
    let expected = [
        ("2026-03-28T20:00:00Z", 0),
        ("2026-03-28T21:00:00Z", 1),
        ("2026-03-29T04:00:00Z", 0),
    ];
    assert_eq!(cut, expected.map(|(at, bits)| (at.to_owned(), bits)));
}

#[test]
fn the_night_of_a_day_belongs_to_that_day() {
    let friday =
        "[[discount]]\nname = \"a\"\npercent = 10\ndays = [\"fri\"]\nhours = \"22:00-06:00\"\n";
    // 2026-01-10 is a Saturday.
    let cut = discounts(
        friday,
        window("2026-01-10T00:00:00Z", "2026-01-12T00:00:00Z"),
    );
    let expected = [("2026-01-10T00:00:00Z", 1), ("2026-01-10T05:00:00Z", 0)];
    assert_eq!(cut, expected.map(|(at, bits)| (at.to_owned(), bits)));
}

#[test]
fn discounts_hold_from_their_first_day_to_their_last_and_side_by_side() {
    let two = "[[discount]]\nname = \"a\"\npercent = 10\nfrom = 2026-01-10\nuntil = 2026-01-11\n\
               [[discount]]\nname = \"b\"\npercent = 20\ndays = [\"sat\", \"sun\"]\n";
    let cut = discounts(two, window("2026-01-09T00:00:00Z", "2026-01-12T12:00:00Z"));
    let expected = [
        ("2026-01-09T00:00:00Z", 0),
        ("2026-01-09T23:00:00Z", 3),
        ("2026-01-10T23:00:00Z", 2),
        ("2026-01-11T23:00:00Z", 0),
    ];
    assert_eq!(cut, expected.map(|(at, bits)| (at.to_owned(), bits)));
}
