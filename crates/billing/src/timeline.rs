//! Time cut where prices change.

use jiff::Timestamp;
use jiff::civil;
use thiserror::Error;

use crate::list::PriceList;
use crate::rules::Discount;
use crate::values::Zone;

/// Nanoseconds of a day without a change of clocks.
const DAY_NS: i64 = 86_400_000_000_000;

/// A window that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the window ends before it begins")]
pub struct WindowError;

/// A stretch of time, its end exclusive, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    start_ns: i64,
    end_ns: i64,
}

impl Window {
    /// From one moment to another.
    ///
    /// # Errors
    /// If it would end before it begins.
    pub fn new(start_ns: i64, end_ns: i64) -> Result<Self, WindowError> {
        if end_ns < start_ns {
            return Err(WindowError);
        }
        Ok(Self { start_ns, end_ns })
    }

    /// From a moment on, so many nanoseconds.
    #[must_use]
    pub fn of_length(start_ns: i64, length_ns: u64) -> Self {
        Self {
            start_ns,
            end_ns: start_ns.saturating_add_unsigned(length_ns),
        }
    }

    /// Its first moment.
    #[must_use]
    pub fn start_ns(self) -> i64 {
        self.start_ns
    }

    /// Its end, exclusive.
    #[must_use]
    pub fn end_ns(self) -> i64 {
        self.end_ns
    }

    /// Whether a moment is in it.
    #[must_use]
    pub fn contains(self, ns: i64) -> bool {
        (self.start_ns..self.end_ns).contains(&ns)
    }

    /// What is in both; `None` if that is nothing.
    #[must_use]
    pub fn intersect(self, other: Self) -> Option<Self> {
        let start_ns = self.start_ns.max(other.start_ns);
        let end_ns = self.end_ns.min(other.end_ns);
        (start_ns < end_ns).then_some(Self { start_ns, end_ns })
    }
}

/// A stretch of time in which prices do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) window: Window,
    /// Which period of the list holds, if one does.
    pub(crate) period: Option<usize>,
    /// The discounts that hold, by their bits.
    pub(crate) discounts: u64,
}

/// The window, cut where a period or a discount of the list begins or ends.
pub(crate) fn segments(list: &PriceList, window: Window) -> Vec<Segment> {
    let stretches: Vec<Vec<Window>> = list
        .discounts
        .iter()
        .map(|discount| stretches(discount, &list.zone, window))
        .collect();
    let mut cuts = vec![window.start_ns, window.end_ns];
    cuts.extend(list.periods.iter().flat_map(|p| [p.start_ns, p.end_ns]));
    cuts.extend(
        stretches
            .iter()
            .flatten()
            .flat_map(|w| [w.start_ns, w.end_ns]),
    );
    cuts.retain(|cut| (window.start_ns..=window.end_ns).contains(cut));
    cuts.sort_unstable();
    cuts.dedup();
    let holds_at = |stretches: &[Window], ns: i64| {
        let after = stretches.partition_point(|stretch| stretch.start_ns <= ns);
        after > 0 && stretches[after - 1].contains(ns)
    };
    let mut segments = Vec::with_capacity(cuts.len());
    for pair in cuts.windows(2) {
        let [start_ns, end_ns] = [pair[0], pair[1]];
        let holding = |(bit, stretches): (usize, &Vec<Window>)| {
            u64::from(holds_at(stretches, start_ns)) << bit
        };
        segments.push(Segment {
            window: Window { start_ns, end_ns },
            period: list
                .periods
                .iter()
                .position(|p| (p.start_ns..p.end_ns).contains(&start_ns)),
            discounts: stretches.iter().enumerate().map(holding).sum(),
        });
    }
    segments
}

/// When a discount holds within a window: in order, without overlaps.
fn stretches(discount: &Discount, zone: &Zone, window: Window) -> Vec<Window> {
    let moment = |date: Option<crate::values::Date>, none| date.map_or(none, |d| zone.moment(d.0));
    let within = Window {
        start_ns: moment(discount.from, i64::MIN),
        end_ns: moment(discount.until, i64::MAX),
    };
    let Some(within) = within.intersect(window) else {
        return Vec::new();
    };
    if discount.days.is_empty() && discount.hours.is_none() {
        return vec![within];
    }
    let mut stretches = Vec::new();
    // The night before may reach into the window.
    let mut day = date_at(zone, within.start_ns.saturating_sub(DAY_NS));
    loop {
        let Ok(next) = day.tomorrow() else {
            break;
        };
        let midnight = civil::Time::midnight();
        let (from, until, end_day) = match discount.hours {
            Some(hours) if hours.from < hours.until => (hours.from, hours.until, day),
            Some(hours) => (hours.from, hours.until, next),
            None => (midnight, midnight, next),
        };
        let start_ns = zone.moment(day.to_datetime(from));
        if start_ns >= within.end_ns {
            break;
        }
        let end_ns = zone.moment(end_day.to_datetime(until));
        let wanted = discount
            .days
            .iter()
            .any(|d| civil::Weekday::from(*d) == day.weekday());
        if wanted || discount.days.is_empty() {
            stretches.extend(Window { start_ns, end_ns }.intersect(within));
        }
        day = next;
    }
    stretches
}

fn date_at(zone: &Zone, ns: i64) -> civil::Date {
    // Every number of nanoseconds that 64 bits hold is a moment.
    let moment = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    zone.0.to_datetime(moment).date()
}

#[cfg(test)]
#[path = "timeline_test.rs"]
mod tests;
