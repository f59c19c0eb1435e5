//! OpenCost's windows of time, all in UTC.

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use super::QueryError;
use skete_usage::Window;

const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Longest window: ten years.
const LONGEST: i64 = 3660 * DAY;

/// Reads a window: `today`, `yesterday`, `week`, `month`, `lastweek`, `lastmonth`; `7d` and
/// `1h offset 30m`; two times of RFC 3339; two of Unix.
pub(super) fn parse(text: &str, now_ns: i64) -> Result<Window, QueryError> {
    let problem = |problem: &str| QueryError::value("window", format!("{text:?} {problem}"));
    let (start, end) = find(text, now_ns).ok_or_else(|| {
        problem("is no window: want today, lastweek, 7d, or two times with a comma")
    })?;
    if end <= start {
        return Err(problem("ends before it begins"));
    }
    if end.saturating_sub(start) > LONGEST {
        return Err(problem("is longer than ten years"));
    }
    Window::new(start, end).map_err(|_| problem("ends before it begins"))
}

fn find(text: &str, now_ns: i64) -> Option<(i64, i64)> {
    if let Some(word) = word(text, now_ns) {
        return Some(word);
    }
    if let Some((length, offset)) = text.split_once(" offset ") {
        let end = now_ns.checked_sub(duration(offset)?)?;
        return Some((end.checked_sub(duration(length)?)?, end));
    }
    if let Some(length) = duration(text) {
        // The past so many days are today and the days before, from midnight to midnight.
        let unit = match text.as_bytes().last()? {
            b's' => 1_000_000_000,
            b'm' => MINUTE,
            b'h' => HOUR,
            _ => DAY,
        };
        let end = now_ns.div_euclid(unit).checked_add(1)?.checked_mul(unit)?;
        return Some((end.checked_sub(length)?, end));
    }
    let (start, end) = text.split_once(',').or_else(|| {
        let pair = text.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        (digits(pair.0) && digits(pair.1)).then_some(pair)
    })?;
    Some((moment(start)?, moment(end)?))
}

fn moment(text: &str) -> Option<i64> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse::<i64>().ok()?.checked_mul(1_000_000_000);
    }
    let time: Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

fn word(text: &str, now_ns: i64) -> Option<(i64, i64)> {
    let now = Timestamp::from_nanosecond(now_ns.into())
        .ok()?
        .to_zoned(TimeZone::UTC);
    let today = now.start_of_day().ok()?;
    let ns = |time: &Zoned| i64::try_from(time.timestamp().as_nanosecond()).ok();
    let week = || {
        let since = today.weekday().since(Weekday::Sunday);
        today.checked_sub(i64::from(since).days()).ok()
    };
    let month = || today.first_of_month().ok();
    let (start, end) = match text {
        "today" => (today.clone(), today.tomorrow().ok()?),
        "yesterday" => (today.yesterday().ok()?, today.clone()),
        "week" => (week()?, now),
        "lastweek" => (week()?.checked_sub(7.days()).ok()?, week()?),
        "month" => (month()?, now),
        "lastmonth" => (month()?.checked_sub(1.month()).ok()?, month()?),
        _ => return None,
    };
    Some((ns(&start)?, ns(&end)?))
}

/// `45m`, `24h`, `7d`, `2w`; and `1s`, which OpenCost has not.
pub(super) fn duration(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1_000_000_000,
        "m" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        "w" => 7 * DAY,
        _ => return None,
    };
    let digits = number.bytes().all(|b| b.is_ascii_digit());
    let number: i64 = number.parse().ok().filter(|n| digits && *n > 0)?;
    number.checked_mul(unit)
}

#[cfg(test)]
#[path = "window_test.rs"]
mod tests;
