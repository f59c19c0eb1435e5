//! An invoice: what a tenant pays for a month.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil;
use num_bigint::BigInt;
use serde::Serialize;
use skete_usage::Window;

use crate::charge::Line;
use crate::money::{apportion, decimal, short, significant};
use crate::prices::Prices;
use crate::rules::Meter;
use crate::tally::{Tally, TallyError};
use crate::values::{Percent, Zone};

/// Digits after the point of a quantity on an invoice.
const QUANTITY_DIGITS: u32 = 6;
/// Digits after the point of a price: those of a price list.
const PRICE_DIGITS: u32 = crate::decimal::DIGITS;

/// A month of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month(civil::Date);

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = |c: char| c.is_ascii_digit();
        let form = text.len() == 7 && text.split_once('-').is_some_and(|(y, _)| y.len() == 4);
        let day = format!("{text}-01").parse::<civil::Date>().ok();
        day.filter(|day| form && text.starts_with(digits) && (1970..2262).contains(&day.year()))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a month, as 2026-11"))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

impl Month {
    /// From its first moment to the next month's, by the clocks of a zone.
    #[must_use]
    pub fn window(self, zone: &Zone) -> Window {
        let midnight = civil::Time::midnight();
        let next = self
            .0
            .last_of_month()
            .tomorrow()
            .unwrap_or(civil::Date::MAX);
        let start = zone.moment(self.0.to_datetime(midnight));
        let end = zone.moment(next.to_datetime(midnight));
        Window::of_length(start, end.abs_diff(start))
    }
}

/// What a tenant pays for a window of time. Amounts are decimal numbers with the digits of the
/// currency, and sum to the total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invoice {
    /// The Namespace's name.
    pub tenant: String,
    /// The Namespace's UID, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_uid: Option<String>,
    /// The first moment.
    pub start: Timestamp,
    /// The end, exclusive.
    pub end: Timestamp,
    /// The time zone of the price list, to which the window belongs.
    pub time_zone: String,
    /// By which prices.
    pub price_list: PriceListName,
    /// The currency of all amounts.
    pub currency: String,
    /// What each thing comes to.
    pub lines: Vec<InvoiceLine>,
    /// What each workload comes to, the dearest first.
    pub workloads: Vec<WorkloadCost>,
    /// How many Pods are on it.
    pub pods: u64,
    /// How many of them still ran: they are charged up to what was known.
    pub running: u64,
    /// How many ended unseen: their end is bounded by what the node knew.
    pub bounded: u64,
    /// What is to be paid.
    pub total: String,
}

/// Which price list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PriceListName {
    /// Its name.
    pub name: String,
    /// Which edition.
    pub version: String,
    /// What it is.
    pub title: String,
}

/// What one thing comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InvoiceLine {
    /// What it is called in the price list.
    pub sku: String,
    /// What was counted.
    pub meter: Meter,
    /// Since when the price holds.
    pub priced_since: Timestamp,
    /// How much, rounded to a millionth.
    pub quantity: String,
    /// Of what.
    pub unit: &'static str,
    /// The price of a unit; the mean of the bill where the list has tiers.
    pub unit_price: String,
    /// The discount, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discount: Option<InvoiceDiscount>,
    /// What is to be paid for it.
    pub amount: String,
}

/// A discount on an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InvoiceDiscount {
    /// What it is called in the price list.
    pub name: String,
    /// How much less.
    pub percent: Percent,
}

/// What a workload comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkloadCost {
    /// The controller's kind, or `Pod`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How many Pods it had.
    pub pods: u64,
    /// What is to be paid for them.
    pub amount: String,
}

impl Invoice {
    /// The invoice of a tally, by its prices.
    ///
    /// # Errors
    /// As for [`Tally::settle`].
    pub fn new(tally: &Tally<'_>) -> Result<Self, TallyError> {
        let prices = tally.settle()?;
        let list = tally.pricing.list();
        let window = tally.pricing.window();
        let digits = list.currency.digits();

        let costs: Vec<_> = tally
            .totals
            .iter()
            .map(|(line, q)| prices.cost(line, q))
            .collect();
        let amounts = apportion(&costs, digits);
        let total: BigInt = amounts.iter().sum();
        let lines = tally.totals.iter().zip(amounts);
        let lines = lines.map(|((line, quantity), amount)| {
            invoice_line(&prices, line, quantity, decimal(&amount, digits))
        });

        let mut workloads: Vec<_> = tally
            .workloads
            .iter()
            .map(|(workload, of)| (prices.total(&of.charges), workload, of.pods))
            .collect();
        workloads.sort_by(|(a, x, _), (b, y, _)| b.cmp(a).then(x.cmp(y)));
        let costs: Vec<_> = workloads.iter().map(|(cost, _, _)| cost.clone()).collect();
        let workloads = workloads.into_iter().zip(apportion(&costs, digits));
        let workloads = workloads.map(|((_, workload, pods), amount)| WorkloadCost {
            kind: workload.kind.clone(),
            name: workload.name.clone(),
            pods,
            amount: decimal(&amount, digits),
        });

        let namespace = tally.namespaces.first_key_value();
        Ok(Self {
            tenant: namespace.map_or_else(|| tally.tenant.to_string(), |(_, name)| name.clone()),
            namespace_uid: namespace.map(|(uid, _)| uid.clone()),
            start: timestamp(window.from_ns),
            end: timestamp(window.to_ns),
            time_zone: list.zone.0.iana_name().unwrap_or("UTC").to_owned(),
            price_list: PriceListName {
                name: list.name.clone(),
                version: list.version.clone(),
                title: list.title.clone(),
            },
            currency: list.currency.code().to_owned(),
            lines: lines.collect(),
            workloads: workloads.collect(),
            pods: tally.pods,
            running: tally.running,
            bounded: tally.bounded,
            total: decimal(&total, digits),
        })
    }

    /// Its first and its last day, by the clocks of its zone.
    #[must_use]
    pub fn days(&self) -> (civil::Date, civil::Date) {
        let zone = Zone::try_from(self.time_zone.clone()).unwrap_or_default();
        let day = |ns: i128| {
            let moment = Timestamp::from_nanosecond(ns).unwrap_or(Timestamp::UNIX_EPOCH);
            zone.0.to_datetime(moment).date()
        };
        (
            day(self.start.as_nanosecond()),
            day(self.end.as_nanosecond() - 1),
        )
    }

    /// The lines as CSV, and the total as the last.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write_csv(&self, out: impl std::io::Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record([
            "sku",
            "meter",
            "priced since",
            "quantity",
            "unit",
            "unit price",
            "discount",
            "percent",
            "amount",
            "currency",
        ])?;
        for line in &self.lines {
            let (discount, percent) = match &line.discount {
                Some(d) => (d.name.as_str(), crate::Decimal::from(d.percent).to_string()),
                None => ("", String::new()),
            };
            csv.write_record([
                &line.sku,
                line.meter.name(),
                &line.priced_since.to_string(),
                &line.quantity,
                line.unit,
                &line.unit_price,
                discount,
                &percent,
                &line.amount,
                &self.currency,
            ])?;
        }
        let total = [
            "total",
            "",
            "",
            "",
            "",
            "",
            "",
            "",
            &self.total,
            &self.currency,
        ];
        csv.write_record(total)?;
        csv.flush()
    }
}

fn invoice_line(prices: &Prices<'_>, line: Line, quantity: u128, amount: String) -> InvoiceLine {
    let pricing = prices.pricing();
    let rate = pricing.rate(line);
    InvoiceLine {
        sku: rate.sku.clone(),
        meter: rate.meter,
        priced_since: timestamp(pricing.list().periods[line.period].start_ns),
        quantity: significant(&prices.units(line, quantity), 3, QUANTITY_DIGITS),
        unit: rate.unit_name(),
        unit_price: short(prices.unit(line), PRICE_DIGITS),
        discount: pricing.discount(line).map(|discount| InvoiceDiscount {
            name: discount.name.clone(),
            percent: discount.percent,
        }),
        amount,
    }
}

/// A moment; every number of nanoseconds that 64 bits hold is one.
pub(crate) fn timestamp(ns: i64) -> Timestamp {
    Timestamp::from_nanosecond(ns.into()).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
#[path = "invoice_test.rs"]
mod tests;
