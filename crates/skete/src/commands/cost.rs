//! `skete cost`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use skete_billing::{
    Charges, Estimate as Costs, Money, PriceList, Prices, Pricing, Template, Window, estimate,
};
use skete_pod::{PodCount, Resources, Workload, Workloads};
use skete_usage::Size;

use super::prices;
use super::usage::{Key, Selection, for_each_use};
use crate::failure::Failure;
use crate::files;
use crate::output::{self, Document, Table};
use crate::paths::Paths;

/// Largest manifest, in bytes.
const MAX_BYTES: u64 = 16 << 20;
/// Most files of a directory.
const MAX_FILES: usize = 10_000;
/// The price list that is taken where none is named.
const DEFAULT_PRICES: &str = "own-hardware";
/// Digits after the point at least.
const DIGITS: u32 = 2;

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
}

impl Cost {
    /// Does it.
    ///
    /// # Errors
    /// A file cannot be read or estimated, a Pod not charged, or standard output not written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        match &self.command {
            Some(CostCommand::Estimate(estimate)) => estimate.run(),
            None => self.spent.run(paths),
        }
    }
}

/// What Pods did cost.
#[derive(Debug, Args)]
struct Spent {
    #[command(flatten)]
    select: Selection,
    /// The price list, by name or file
    #[arg(short, long, value_name = "NAME|FILE", env = prices::ENV, hide_env_values = true, default_value = DEFAULT_PRICES)]
    prices: String,
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
        let list = prices::find(&self.prices)?;
        let asked = self.select.window()?;
        let mut uses = Vec::new();
        // Of a Pod's whole life: on it depends what a part of it costs.
        let code = for_each_use(
            paths,
            self.select.ledger,
            skete_usage::Window::ALL,
            |used| {
                uses.extend(Some(used).filter(|used| self.select.wants(used)));
                Ok(())
            },
        )?;
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

/// Tell what Pods would cost that run for a second, an hour and a month of 730 hours.
#[derive(Debug, Args)]
pub struct Estimate {
    /// A Kubernetes manifest, a directory of them, or - for standard input
    #[arg(required = true, value_name = "FILE|DIR|-")]
    manifests: Vec<PathBuf>,
    /// A price list, by name or file; may be given several times
    #[arg(short, long = "prices", value_name = "NAME|FILE", env = prices::ENV, hide_env_values = true, value_delimiter = ',', default_value = DEFAULT_PRICES)]
    prices: Vec<String>,
    /// Nodes: for the Pods of DaemonSets
    #[arg(long, value_name = "N", default_value_t = 1)]
    nodes: u64,
    /// Architecture of the guests
    #[arg(long, value_name = "ARCH", default_value = "amd64")]
    arch: String,
    /// Annotation that an administrator would set for the bill
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair)]
    annotations: Vec<(String, String)>,
    /// When the month begins
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// How to show it
    #[arg(short, long, value_enum)]
    output: Option<Document>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or("want KEY=VALUE")?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

/// One workload by one price list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    kind: String,
    namespace: String,
    name: String,
    pods: u64,
    price_list: String,
    currency: String,
    charged: Size,
    second: String,
    hour: String,
    month: String,
    least: String,
}

/// What all workloads cost by one price list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Total {
    price_list: String,
    currency: String,
    second: String,
    hour: String,
    month: String,
}

#[derive(Debug, Serialize)]
struct Report {
    workloads: Vec<Row>,
    totals: Vec<Total>,
}

impl Estimate {
    fn run(&self) -> Result<u8, Failure> {
        let lists = self.prices.iter().map(|name| prices::find(name));
        let lists = lists.collect::<Result<Vec<_>, _>>()?;
        let found = self.workloads()?;
        if found.workloads.is_empty() {
            return Err(Failure::own("there is nothing in it that makes Pods"));
        }
        let report = self.report(&lists, &found.workloads)?;
        if let Some(format) = self.output {
            output::document(&report, format)?;
            return Ok(0);
        }
        output::print(&table(&report, lists.len() > 1))?;
        if !found.others.is_empty() {
            crate::complain(&format!("not counted: {}", found.others.join(", ")));
        }
        Ok(0)
    }

    fn report(&self, lists: &[PriceList], workloads: &[Workload]) -> Result<Report, Failure> {
        let start = self.at.unwrap_or_else(Timestamp::now).as_nanosecond();
        let start_ns = i64::try_from(start)
            .map_err(|_| Failure::own("--at is a time between 1678 and 2262"))?;
        let mut report = Report {
            workloads: Vec::new(),
            totals: Vec::new(),
        };
        let mut sums = vec![Vec::new(); lists.len()];
        for workload in workloads {
            for (list, sum) in lists.iter().zip(&mut sums) {
                let template = self.template(workload);
                let costs = estimate(list, &template, start_ns)?;
                report
                    .workloads
                    .push(row(workload, template.pods, list, &costs));
                sum.push(costs);
            }
        }
        for (list, costs) in lists.iter().zip(sums) {
            let sum = |of: fn(&Costs) -> &Money| {
                prices::decimal(&costs.iter().map(of).sum::<Money>(), DIGITS)
            };
            report.totals.push(Total {
                price_list: list.name.clone(),
                currency: list.currency.to_string(),
                second: sum(|costs| &costs.second),
                hour: sum(|costs| &costs.hour),
                month: sum(|costs| &costs.month),
            });
        }
        Ok(report)
    }

    fn template(&self, workload: &Workload) -> Template {
        Template {
            name: workload.name.clone(),
            namespace: workload.namespace.clone(),
            labels: workload.labels.clone(),
            annotations: self.annotations.iter().cloned().collect::<BTreeMap<_, _>>(),
            architecture: self.arch.clone(),
            provisioned: size(workload.provisioned),
            requested: size(workload.requests),
            limits: size(workload.limits),
            pods: match workload.pods {
                PodCount::Fixed(count) => count,
                PodCount::PerNode => self.nodes,
            },
        }
    }

    fn workloads(&self) -> Result<Workloads, Failure> {
        let mut all = Workloads::default();
        let mut add = |bytes: &[u8], name: &str| {
            let found = Workloads::parse(bytes, name)
                // A problem a line.
                .map_err(|error| Failure::own(error.to_string()))?;
            all.workloads.extend(found.workloads);
            for kind in found.others {
                if !all.others.contains(&kind) {
                    all.others.push(kind);
                }
            }
            Ok::<_, Failure>(())
        };
        for path in &self.manifests {
            if path.as_os_str() == "-" {
                let mut bytes = Vec::new();
                std::io::stdin()
                    .take(MAX_BYTES + 1)
                    .read_to_end(&mut bytes)?;
                add(&bytes, "standard input")?;
                continue;
            }
            for file in manifests(path)? {
                let shown = file.display().to_string();
                let bytes = files::read_bounded(&file, MAX_BYTES)
                    .map_err(|error| Failure::own(format!("cannot read {shown}: {error}")))?;
                add(&bytes, &shown)?;
            }
        }
        Ok(all)
    }
}

/// A file, or the manifests of a directory and of those in it, by name.
fn manifests(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |path: &Path, error: std::io::Error| {
        Failure::own(format!("cannot read {}: {error}", path.display()))
    };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut dirs = vec![path.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).map_err(|error| cannot(&dir, error))? {
            let entry = entry.map_err(|error| cannot(&dir, error))?;
            let path = entry.path();
            // A link could lead in a circle.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                dirs.push(path);
            } else if path
                .extension()
                .is_some_and(|e| e == "yaml" || e == "yml" || e == "json")
            {
                found.push(path);
            }
        }
        if found.len() + dirs.len() > MAX_FILES {
            let path = path.display();
            return Err(Failure::own(format!("{path}: more than {MAX_FILES} files")));
        }
    }
    found.sort();
    Ok(found)
}

fn size(resources: Resources) -> Size {
    Size {
        milli_vcpus: resources.milli_vcpus,
        memory_bytes: resources.memory_bytes,
        storage_bytes: resources.storage_bytes,
        gpus: resources.gpus,
    }
}

fn row(workload: &Workload, pods: u64, list: &PriceList, costs: &Costs) -> Row {
    let shown = |amount: &Money| prices::decimal(amount, DIGITS);
    Row {
        kind: workload.kind.clone(),
        namespace: workload.namespace.clone(),
        name: workload.name.clone(),
        pods,
        price_list: list.name.clone(),
        currency: list.currency.to_string(),
        charged: costs.charged,
        second: shown(&costs.second),
        hour: shown(&costs.hour),
        month: shown(&costs.month),
        least: shown(&costs.least),
    }
}

fn table(report: &Report, several_lists: bool) -> String {
    let mut table = Table::new(&[
        "WORKLOAD",
        "PODS",
        "CHARGED FOR",
        "PRICES",
        "SECOND",
        "HOUR",
        "MONTH",
        "CURRENCY",
    ]);
    for row in &report.workloads {
        let vcpus = row.charged.milli_vcpus as f64 / 1000.0;
        table.row(vec![
            format!("{}/{}", row.kind, row.name),
            row.pods.to_string(),
            format!("{vcpus} vCPU, {}", output::bytes(row.charged.memory_bytes)),
            row.price_list.clone(),
            row.second.clone(),
            row.hour.clone(),
            row.month.clone(),
            row.currency.clone(),
        ]);
    }
    if report.workloads.len() > report.totals.len() || several_lists {
        for total in &report.totals {
            table.row(vec![
                "total".to_owned(),
                String::new(),
                String::new(),
                total.price_list.clone(),
                total.second.clone(),
                total.hour.clone(),
                total.month.clone(),
                total.currency.clone(),
            ]);
        }
    }
    table.render()
}

#[cfg(test)]
#[path = "cost_test.rs"]
mod tests;
