//! `skete cost` by itself: what Pods cost that run or have ended.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use skete_billing::{
    Charges, Decimal, Money, PriceList, Prices, Pricing, Window, money, window_of,
};
use skete_usage::{Ended, PodUse};

use super::DIGITS;
use crate::commands::prices;
use crate::commands::usage::ended;
use crate::commands::which::{By, Key, Which};
use crate::failure::{Failure, chain};
use crate::output::{self, Document, Table};
use crate::paths::{PRICES_ENV, Paths};
use crate::uses::{Problems, Uses, to_charge};

/// Which Pods, and by which prices.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    which: Which,
    /// The price list, by name or file; without it, the one in the state directory
    #[arg(short, long, env = PRICES_ENV, value_name = "NAME|FILE", hide_env_values = true)]
    prices: Option<String>,
    /// How to show it
    #[arg(short, long, value_enum)]
    output: Option<Document>,
}

/// What Pods cost that have something in common.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(flatten)]
    key: Key,
    pods: u64,
    /// How many of them run, and are charged so far.
    running: u64,
    /// How many ended unseen, and are charged up to their last sign.
    bounded: u64,
    amount: String,
    #[serde(skip)]
    exact: Money,
}

/// All of it; the rows' amounts sum to the total.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    price_list: String,
    version: String,
    currency: String,
    rows: Vec<Row>,
    total: String,
}

/// Pods of one row.
#[derive(Default)]
struct Group {
    pods: u64,
    running: u64,
    bounded: u64,
    charges: Charges,
}

impl Show {
    /// Does it.
    ///
    /// # Errors
    /// No price list is chosen, or it is wrong; the window ends before it begins; or standard output
    /// cannot be written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let list = prices::needed(self.prices.as_deref(), paths)?;
        let window = self.which.window()?;
        let window = Window::new(window.from_ns, window.to_ns)?;
        let Uses {
            mut pods,
            mut problems,
        } = to_charge(paths)?;
        pods.retain(|used| self.which.wants(used));
        let report = report(&list, window, &self.which.by, &pods, &mut problems);
        match self.output {
            Some(format) => output::document(&report, format)?,
            None => output::print(&table(&report, &self.which.by))?,
        }
        Ok(problems.tell())
    }
}

/// What Pods cost in a window, added up.
fn report(
    list: &PriceList,
    window: Window,
    by: &By,
    pods: &[PodUse],
    problems: &mut Problems,
) -> Report {
    let within = window_of(list, pods).intersect(window);
    let pricing = Pricing::new(list, within.unwrap_or(Window::of_length(0, 0)));
    let mut totals = Charges::default();
    let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
    for used in pods {
        let charges = match pricing.charge(used) {
            Ok(charges) => charges,
            Err(error) => {
                problems.0.push(chain(&error));
                continue;
            }
        };
        if !is_in(used, window) && charges.iter().next().is_none() {
            continue;
        }
        let group = groups.entry(by.key(used)).or_default();
        // Sums need 128 bits only if a journal lies: then the list says so of the Pod.
        if group
            .charges
            .add(&charges)
            .and_then(|()| totals.add(&charges))
            .is_none()
        {
            problems.0.push(format!(
                "Pod {}: its use is larger than any machine's",
                used.pod.uid
            ));
            continue;
        }
        group.pods += 1;
        group.running += u64::from(used.ended == Ended::Running);
        group.bounded += u64::from(used.ended == Ended::Bounded);
    }
    let settled = Prices::settle(&pricing, &totals);
    let costs: Vec<_> = groups
        .values()
        .map(|group| settled.total(&group.charges))
        .collect();
    let shares = money::apportion(&costs, Decimal::DIGITS);
    let shown = |units| money::trimmed(&units, Decimal::DIGITS, DIGITS);
    let total = shares.iter().sum();
    let rows = groups.into_iter().zip(shares).zip(costs);
    Report {
        price_list: list.name.clone(),
        version: list.version.clone(),
        currency: list.currency.to_string(),
        rows: rows
            .map(|(((key, group), share), exact)| Row {
                key,
                pods: group.pods,
                running: group.running,
                bounded: group.bounded,
                amount: shown(share),
                exact,
            })
            .collect(),
        total: shown(total),
    }
}

fn is_in(used: &PodUse, window: Window) -> bool {
    used.spans
        .iter()
        .any(|span| span.start_ns < window.end_ns() && window.start_ns() < span.end_ns)
}

fn table(report: &Report, by: &By) -> String {
    let mut headings = by.headings();
    headings.extend(["COST", "CURRENCY"]);
    let mut table = Table::new(&headings);
    let cost = |amount: &Money| [prices::decimal(amount, DIGITS), report.currency.clone()];
    for row in &report.rows {
        let mut cells = by.cells(&row.key, row.pods, ended(row.running, row.bounded));
        cells.extend(cost(&row.exact));
        table.row(cells);
    }
    if report.rows.len() > 1 {
        let mut cells = vec!["total".to_owned()];
        cells.resize(headings.len() - 2, String::new());
        cells.extend(cost(&report.rows.iter().map(|row| &row.exact).sum()));
        table.row(cells);
    }
    table.render()
}

#[cfg(test)]
#[path = "show_test.rs"]
mod tests;
