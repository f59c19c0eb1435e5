//! `skete usage`.

use std::collections::BTreeMap;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;
use skete_usage::{Ended, PodUse, Totals, Window};

use super::logs::since;
use crate::failure::{Failure, OWN_ERROR};
use crate::output::{self, Document, Table, amount, duration};
use crate::paths::Paths;
use crate::selector::Selector;
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
    #[command(flatten)]
    select: Selection,
    /// How to show it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
}

/// Which Pods, in which time, and by what they are added up.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Only from then on: a duration before now (90m) or a time (2026-01-31T12:00:00.250Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(super) since: Option<Timestamp>,
    /// Only until then, exclusive
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(super) until: Option<Timestamp>,
    /// Only Pods of this Namespace
    #[arg(short, long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
    /// Only Pods with these labels: KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY, !KEY, with commas
    #[arg(short = 'l', long, value_name = "LABELS", default_value = None)]
    pub(super) selector: Option<Selector>,
    /// What to add up: pod, namespace, controller or label:KEY
    #[arg(long, value_name = "WHAT", default_value = "pod")]
    pub(super) by: By,
    /// Look into the ledger and not into the journals: it knows those too that are gone
    #[arg(long)]
    pub(super) ledger: bool,
}

/// How to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table
    Table,
    /// The sums as JSON, in whole nanoseconds and bytes
    Json,
    /// The Pods' spans of time, one Pod a line, whatever --by says: what `invoice --from` takes
    Jsonl,
}

/// Headings of [`figures_of`].
pub(super) const FIGURES: [&str; 8] = [
    "TIME",
    "VCPU-S",
    "USED",
    "GIB-S",
    "USED",
    "NET I/O",
    "BLOCK I/O",
    "STARTS",
];

/// What is added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum By {
    Pod,
    Namespace,
    Controller,
    Label(String),
}

impl FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pod" => Ok(Self::Pod),
            "namespace" => Ok(Self::Namespace),
            "controller" => Ok(Self::Controller),
            _ => match text.strip_prefix("label:") {
                Some(key) if !key.is_empty() => Ok(Self::Label(key.to_owned())),
                _ => Err("want pod, namespace, controller or label:KEY".to_owned()),
            },
        }
    }
}

impl By {
    /// What the Pods that are added up have in common. A Pod is known by its UID: names are used
    /// again. `None` for Pods without that label or controller.
    pub(super) fn key(&self, pod: &PodUse) -> Key {
        let pod = &pod.pod;
        let of = |namespace: &str, name: Option<String>, uid: &str| Key {
            namespace: namespace.to_owned(),
            name,
            uid: uid.to_owned(),
        };
        match self {
            Self::Pod => of(&pod.namespace, Some(pod.name.clone()), &pod.uid),
            Self::Namespace => of(&pod.namespace, Some(pod.namespace.clone()), ""),
            Self::Controller => {
                let controller = pod.controller.as_ref();
                let name = controller.map(|c| format!("{}/{}", c.kind, c.name));
                of(&pod.namespace, name, "")
            }
            Self::Label(key) => of("", pod.labels.get(key).cloned(), ""),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Key {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
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

impl Selection {
    /// The time to look at.
    ///
    /// # Errors
    /// It would end before it begins.
    pub(super) fn window(&self) -> Result<Window, Failure> {
        let ns = |time: Timestamp| i64::try_from(time.as_nanosecond());
        let window = Window {
            from_ns: self.since.map_or(Ok(Window::ALL.from_ns), ns)?,
            to_ns: self.until.map_or(Ok(Window::ALL.to_ns), ns)?,
        };
        if let (Some(since), Some(until)) = (self.since, self.until)
            && until <= since
        {
            return Err(Failure::own(format!(
                "--until {until} is not after --since {since}: there is no time between them"
            )));
        }
        Ok(window)
    }

    /// A Pod that had no time within the window is not shown.
    pub(super) fn wants(&self, used: &PodUse) -> bool {
        let pod = &used.pod;
        let namespace = self.namespace.as_ref();
        !used.spans.is_empty()
            && namespace.is_none_or(|namespace| *namespace == pod.namespace)
            && self.selector.as_ref().is_none_or(|s| s.holds(&pod.labels))
    }
}

impl Usage {
    /// Does it.
    ///
    /// # Errors
    /// The window ends before it begins, or standard output cannot be written. A journal that is
    /// damaged is told of and not counted, and the exit code says so.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let window = self.select.window()?;
        let wanted = |used: &PodUse| self.select.wants(used);
        let (uses, code) = read_uses(paths, self.select.ledger, window, wanted)?;
        if self.output == Form::Jsonl {
            let mut lines = String::new();
            for used in &uses {
                lines.push_str(&serde_json::to_string(used)?);
                lines.push('\n');
            }
            output::print(&lines)?;
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
        for used in uses {
            let sum = sums.entry(self.select.by.key(used)).or_default();
            sum.totals.add(used);
            sum.pods += 1;
            sum.running += u64::from(used.ended == Ended::Running);
            sum.bounded += u64::from(used.ended == Ended::Bounded);
        }
        sums
    }

    fn table(&self, sums: &BTreeMap<Key, Sum>) -> String {
        let what = match &self.select.by {
            By::Pod => vec!["NAMESPACE", "POD", "ENDED"],
            By::Namespace => vec!["NAMESPACE", "PODS"],
            By::Controller => vec!["NAMESPACE", "CONTROLLER", "PODS"],
            By::Label(key) => vec![key.as_str(), "PODS"],
        };
        let mut table = Table::new(&[&what[..], &FIGURES].concat());
        for (key, sum) in sums {
            let name = key.name.clone().unwrap_or_else(|| "<none>".to_owned());
            let pods = sum.pods.to_string();
            let mut row = match &self.select.by {
                By::Pod => vec![key.namespace.clone(), name, ended(sum).to_owned()],
                By::Controller => vec![key.namespace.clone(), name, pods],
                By::Namespace | By::Label(_) => vec![name, pods],
            };
            row.extend(figures_of(&sum.totals));
            table.row(row);
        }
        table.render()
    }
}

/// The Pods that the ledger or the journals tell of in a window and that are wanted, and an exit
/// code: a journal that is damaged is told of and left out.
///
/// # Errors
/// The ledger cannot be read, or the journals cannot be looked for.
pub(super) fn read_uses(
    paths: &Paths,
    ledger: bool,
    window: Window,
    wanted: impl Fn(&PodUse) -> bool,
) -> Result<(Vec<PodUse>, u8), Failure> {
    let Uses { mut pods, problems } = uses(paths, ledger, window)?;
    pods.retain(wanted);
    for problem in &problems {
        crate::complain(&format!("not counted: {problem}"));
    }
    let code = if problems.is_empty() { 0 } else { OWN_ERROR };
    Ok((pods, code))
}

fn ended(sum: &Sum) -> &'static str {
    match (sum.running, sum.bounded) {
        (1.., _) => "running",
        (0, 1..) => "last heartbeat",
        (0, 0) => "seen",
    }
}

/// Totals as a table shows them.
pub(super) fn figures_of(totals: &Totals) -> [String; 8] {
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
