//! Price lists, once they are read and checked.

use crate::currency::Currency;
use crate::rules::{Clock, Discount, Rate, SizeRule};
use crate::values::Zone;

/// What Pods are charged.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceList {
    /// Its name, as commands take it.
    pub name: String,
    /// What it is, in one line.
    pub title: String,
    /// Which edition it is.
    pub version: String,
    /// Where its prices were published.
    pub source: Option<String>,
    /// The currency of its prices.
    pub currency: Currency,
    /// The zone of its dates, days and hours.
    pub zone: Zone,
    /// How time is counted.
    pub clock: Clock,
    /// The size for which a Pod is charged.
    pub size: SizeRule,
    /// Prices by the time in which they hold, in order, without overlaps.
    pub periods: Vec<Period>,
    /// The first that holds is the one that counts.
    pub discounts: Vec<Discount>,
}

/// The time in which prices hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Period {
    /// Its beginning, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Its end, exclusive; `i64::MAX` if none is known.
    pub end_ns: i64,
    /// Of several rates of one meter the first that is for a Pod counts.
    pub rates: Vec<Rate>,
}

impl PriceList {
    /// The list without its rules of rounding: by it a Pod is charged for what it had.
    pub(crate) fn unrounded(&self) -> Self {
        let mut list = Self {
            clock: Clock::default(),
            size: SizeRule {
                basis: self.size.basis,
                ..SizeRule::default()
            },
            ..self.clone()
        };
        let rates = list.periods.iter_mut().flat_map(|period| &mut period.rates);
        rates.for_each(|rate| rate.included = None);
        list
    }

    /// How long after its end a Pod may still be charged for: its time rounded up, or its minimum.
    /// A bill of a window has to see the Pods that ended so long before.
    #[must_use]
    pub fn reach_ns(&self) -> i64 {
        self.clock.minimum.ns.max(self.clock.step.ns)
    }
}
