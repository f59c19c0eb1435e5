//! `skete cost`.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use skete_billing::{Charges, Prices, Pricing};
use skete_usage::Window;

use super::estimate::Estimate;
use super::prices::{self, DIGITS};
use super::serve::Serve;
use super::usage::{Key, Selection, read_uses};
use crate::failure::Failure;
use crate::output::{self, Document, Table};
use crate::paths::Paths;

/// Show what Pods cost.
///
/// Reads the usage journals of this machine. What a Pod costs in a window of time is a part of what
/// its whole life costs: the costs of windows that follow each other add up.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cost {
    #[command(subcommand)]
    command: Option<CostCommand>,
    #[command(flatten)]
    spent: Spent,
}

#[derive(Debug, Subcommand)]
enum CostCommand {
    /// Tell what Pods would cost, before they run
    Estimate(Estimate),
    /// Serve it: OpenCost's API, Prometheus' metrics, and a page
    Serve(Serve),
}

impl Cost {
    /// Does it.
    ///
    /// # Errors
    /// A file cannot be read or estimated, a Pod not charged, or standard output not written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        match &self.command {
            Some(CostCommand::Estimate(estimate)) => estimate.run(),
            Some(CostCommand::Serve(serve)) => serve.run(paths),
            None => self.spent.run(paths),
        }
    }
}

/// What Pods did cost.
#[derive(Debug, Args)]
struct Spent {
    #[command(flatten)]
    select: Selection,
    /// The price list, by name or file; without it, the machine's
    #[arg(short, long, value_name = "NAME|FILE", env = prices::ENV, hide_env_values = true)]
    prices: Option<String>,
    /// How to show it
    #[arg(short, long, value_enum)]
    output: Option<Document>,
}

/// What Pods that have something in common cost.
#[derive(Debug, Serialize)]
struct SpentRow<'a> {
    #[serde(flatten)]
    key: &'a Key,
    cost: String,
    currency: &'a str,
}

impl Spent {
    fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let list = prices::machines(self.prices.as_deref(), paths)?;
        let asked = self.select.window()?;
        // Of a Pod's whole life: on it depends what a part of it costs.
        let wanted = |used: &_| self.select.wants(used);
        let (uses, code) = read_uses(paths, self.select.ledger, Window::ALL, wanted)?;
        let spans = || uses.iter().flat_map(|used| &used.spans);
        let first = spans().map(|span| span.start_ns).min().unwrap_or(0);
        let last = spans().map(|span| span.end_ns).max().unwrap_or(0);
        let from_ns = asked.from_ns.max(first);
        let to_ns = asked.to_ns.min(last.saturating_add(list.reach_ns()));
        let window = Window::new(from_ns, to_ns.max(from_ns))?;
        let pricing = Pricing::new(&list, window);
        let mut totals = Charges::default();
        let mut charged: BTreeMap<Key, Charges> = BTreeMap::new();
        for used in &uses {
            let charges = pricing.charge(used)?;
            if charges.iter().next().is_none() {
                continue;
            }
            let of_key = charged.entry(self.select.by.key(used)).or_default();
            let added = of_key.add(&charges).and_then(|()| totals.add(&charges));
            added.ok_or_else(|| Failure::own("the sum of all use is larger than any machine's"))?;
        }
        let settled = Prices::settle(&pricing, &totals);
        let rows: Vec<_> = charged
            .iter()
            .map(|(key, charges)| SpentRow {
                key,
                cost: prices::decimal(&settled.total(charges), DIGITS),
                currency: list.currency.code(),
            })
            .collect();
        if let Some(format) = self.output {
            output::document(&rows, format)?;
            return Ok(code);
        }
        let total = prices::decimal(&settled.total(&totals), DIGITS);
        output::print(&spent_table(&rows, &total, list.currency.code()))?;
        Ok(code)
    }
}

fn spent_table(rows: &[SpentRow<'_>], total: &str, currency: &str) -> String {
    let mut table = Table::new(&["NAMESPACE", "NAME", "COST", "CURRENCY"]);
    for row in rows {
        table.row(vec![
            row.key.namespace.clone(),
            row.key.name.clone().unwrap_or_else(|| "<none>".to_owned()),
            row.cost.clone(),
            currency.to_owned(),
        ]);
    }
    table.row(["", "total", total, currency].map(str::to_owned).to_vec());
    table.render()
}
