//! `skete usage`.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde::Serialize;
use skete_usage::{Ended, PodUse, Totals};

use super::which::{Key, Which};
use crate::failure::Failure;
use crate::output::{self, Document, Table, amount, duration};
use crate::paths::Paths;
use crate::uses::{Uses, uses};

/// In nanoseconds.
const SECOND: u128 = 1_000_000_000;
/// A second of a GiB.
const GIB_SECOND: u128 = SECOND << 30;

/// Show what Pods were given and used.
///
/// Reads the usage journals of this machine, of Pods that run and of those that have ended, of
/// `skete` and of containerd. A Pod that runs counts up to its last heartbeat.
#[derive(Debug, Args)]
pub struct Usage {
    /// Which Pods, and how they are added up.
    #[command(flatten)]
    which: Which,
    /// How to show it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

/// How to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table
    Table,
    /// The sums as JSON, in whole nanoseconds and bytes
    Json,
    /// Every Pod's spans of time, one Pod a line, whatever --by says
    Jsonl,
}

/// Sums, and of how many Pods.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sum {
    pods: u64,
    running: u64,
    /// Pods whose end was not seen: they count up to their last heartbeat.
    bounded: u64,
    #[serde(flatten)]
    totals: Totals,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    key: &'a Key,
    #[serde(flatten)]
    sum: &'a Sum,
}

impl Usage {
    /// Does it.
    ///
    /// # Errors
    /// The window ends before it begins, or standard output cannot be written. A journal that is
    /// damaged is told of and not counted, and the exit code says so.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let Uses { mut pods, problems } = uses(paths, self.which.window()?)?;
        pods.retain(|used| self.which.wants(used));
        let code = problems.tell();
        let uses = pods;
        if self.output == Form::Jsonl {
            for used in &uses {
                output::print(&format!("{}\n", serde_json::to_string(used)?))?;
            }
            return Ok(code);
        }
        let sums = self.sums(&uses);
        if self.output == Form::Json {
            let rows: Vec<_> = sums.iter().map(|(key, sum)| Row { key, sum }).collect();
            output::document(&rows, Document::Json)?;
        } else {
            output::print(&self.table(&sums))?;
        }
        Ok(code)
    }

    fn sums(&self, uses: &[PodUse]) -> BTreeMap<Key, Sum> {
        let mut sums: BTreeMap<Key, Sum> = BTreeMap::new();
        let mut last = BTreeMap::new();
        for used in uses {
            let key = self.which.by.key(used);
            sums.entry(key.clone()).or_default().totals.add(used);
            // A Pod may have had several sandboxes: how it ended is how the last of them did.
            let end = used.spans.last().map_or(0, |span| span.end_ns);
            let latest = last
                .entry((key, &used.pod.uid))
                .or_insert((end, used.ended));
            if end >= latest.0 {
                *latest = (end, used.ended);
            }
        }
        for ((key, _), (_, ended)) in last {
            let sum = sums.entry(key).or_default();
            sum.pods += 1;
            sum.running += u64::from(ended == Ended::Running);
            sum.bounded += u64::from(ended == Ended::Bounded);
        }
        sums
    }

    fn table(&self, sums: &BTreeMap<Key, Sum>) -> String {
        let what = self.which.by.headings();
        let figures = [
            "TIME",
            "VCPU-S",
            "USED",
            "GIB-S",
            "USED",
            "NET I/O",
            "BLOCK I/O",
            "STARTS",
        ];
        let mut table = Table::new(&[&what[..], &figures].concat());
        for (key, sum) in sums {
            let mut row = self
                .which
                .by
                .cells(key, sum.pods, ended(sum.running, sum.bounded));
            row.extend(figures_of(&sum.totals));
            table.row(row);
        }
        table.render()
    }
}

/// How Pods ended of which so many run, and of so many the end was not seen.
pub(super) fn ended(running: u64, bounded: u64) -> &'static str {
    match (running, bounded) {
        (1.., _) => "running",
        (0, 1..) => "last heartbeat",
        (0, 0) => "seen",
    }
}

fn figures_of(totals: &Totals) -> [String; 8] {
    let Totals {
        provisioned, used, ..
    } = totals;
    let pair = |one, other| format!("{} / {}", output::bytes(one), output::bytes(other));
    [
        duration(totals.time_ns),
        amount(provisioned.milli_vcpu_ns, 1000 * SECOND),
        amount(u128::from(used.cpu_ns), SECOND),
        amount(provisioned.memory_byte_ns, GIB_SECOND),
        amount(used.memory_byte_ns, GIB_SECOND),
        pair(used.network_received_bytes, used.network_sent_bytes),
        pair(used.block_read_bytes, used.block_written_bytes),
        totals.container_starts.to_string(),
    ]
}

#[cfg(test)]
#[path = "usage_test.rs"]
mod tests;
