//! `skete cost estimate`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use skete_billing::{Estimate as Costs, Money, PriceList, Template, estimate};
use skete_pod::{PodCount, Resources, Workload, Workloads};
use skete_usage::Size;

use super::prices::{self, DEFAULT, DIGITS};
use crate::failure::Failure;
use crate::files;
use crate::output::{self, Document, Table};

/// Largest manifest, in bytes.
const MAX_BYTES: u64 = 16 << 20;
/// Most files of a directory.
const MAX_FILES: usize = 10_000;

/// Tell what Pods would cost that run for a second, an hour and a month of 730 hours.
#[derive(Debug, Args)]
pub struct Estimate {
    /// A Kubernetes manifest, a directory of them, or - for standard input
    #[arg(required = true, value_name = "FILE|DIR|-")]
    manifests: Vec<PathBuf>,
    /// A price list, by name or file; may be given several times
    #[arg(short, long = "prices", value_name = "NAME|FILE", env = prices::ENV, hide_env_values = true, value_delimiter = ',', default_value = DEFAULT)]
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
    /// Does it.
    ///
    /// # Errors
    /// A file cannot be read or estimated, or standard output not written.
    pub(super) fn run(&self) -> Result<u8, Failure> {
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
#[path = "estimate_test.rs"]
mod tests;
