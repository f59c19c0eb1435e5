//! Time cut where prices change.

use jiff::Timestamp;
use jiff::civil;
use skete_usage::Window;

use crate::list::PriceList;
use crate::rules::Discount;
use crate::values::Zone;

/// Nanoseconds of a day without a change of clocks.
const DAY_NS: i64 = 86_400_000_000_000;

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
    let mut cuts = vec![window.from_ns, window.to_ns];
    cuts.extend(list.periods.iter().flat_map(|p| [p.start_ns, p.end_ns]));
    cuts.extend(
        stretches
            .iter()
            .flatten()
            .flat_map(|w| [w.from_ns, w.to_ns]),
    );
    cuts.retain(|cut| (window.from_ns..=window.to_ns).contains(cut));
    cuts.sort_unstable();
    cuts.dedup();
    let holds_at = |stretches: &[Window], ns: i64| {
        let after = stretches.partition_point(|stretch| stretch.from_ns <= ns);
        after > 0 && stretches[after - 1].contains(ns)
    };
    let mut segments = Vec::with_capacity(cuts.len());
    for pair in cuts.windows(2) {
        let [start_ns, end_ns] = [pair[0], pair[1]];
        let holding = |(bit, stretches): (usize, &Vec<Window>)| {
            u64::from(holds_at(stretches, start_ns)) << bit
        };
        segments.push(Segment {
            window: Window {
                from_ns: start_ns,
                to_ns: end_ns,
            },
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
        from_ns: moment(discount.from, i64::MIN),
        to_ns: moment(discount.until, i64::MAX),
    };
    let Some(within) = within.intersect(window) else {
        return Vec::new();
    };
    if discount.days.is_empty() && discount.hours.is_none() {
        return vec![within];
    }
    let mut stretches = Vec::new();
    // The night before may reach into the window.
    let mut day = date_at(zone, within.from_ns.saturating_sub(DAY_NS));
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
        let from_ns = zone.moment(day.to_datetime(from));
        if from_ns >= within.to_ns {
            break;
        }
        let to_ns = zone.moment(end_day.to_datetime(until));
        let wanted = discount
            .days
            .iter()
            .any(|d| civil::Weekday::from(*d) == day.weekday());
        if wanted || discount.days.is_empty() {
            stretches.extend(Window { from_ns, to_ns }.intersect(within));
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
