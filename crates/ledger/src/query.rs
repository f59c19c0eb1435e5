//! What the ledger tells.

use std::ops::Range;
use std::vec;

use rusqlite::{Connection, params};
use serde::Serialize;
use skete_usage::{Ended, PodUse, Window, by_pod, fold};

use crate::chain::{self, Hash};
use crate::database::Ledger;
use crate::error::{LedgerError, Problem};
use crate::journals;
use crate::quantities::Quantities;
use crate::sums::quantities;

/// What the ledger holds.
#[derive(Debug)]
pub struct Status {
    /// Pods, each known by its UID.
    pub pods: u64,
    /// Their journals, one for each sandbox.
    pub journals: u64,
    /// Journals whose sandbox ran when they were read last.
    pub running: u64,
    /// Records of all journals.
    pub records: u64,
    /// Where the time of the first sandbox begins and that of the last one ends, in nanoseconds
    /// since the Unix epoch.
    pub time_ns: Option<(i64, i64)>,
    /// The last hour that is closed, counted from the Unix epoch, and its hash.
    pub closed: Option<(i64, Hash)>,
    /// Bytes of the file, without what is still in the write-ahead log.
    pub bytes: u64,
}

/// What was given and used in one hour, by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HourRow {
    /// The hour, counted from the Unix epoch.
    #[serde(skip)]
    pub hour: i64,
    /// The Namespace's name.
    pub namespace: String,
    /// Its UID; empty where it is not known.
    pub namespace_uid: String,
    /// The sandbox, if the row is about one.
    #[serde(flatten)]
    pub sandbox: Option<SandboxKey>,
    /// The sums.
    #[serde(flatten)]
    pub quantities: Quantities,
}

/// A sandbox and its Pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SandboxKey {
    /// The Pod's name.
    pub pod: String,
    /// The Pod's UID.
    pub pod_uid: String,
    /// The node's name.
    pub node: String,
    /// The sandbox's id.
    pub sandbox: String,
}

/// What a row of an hour is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A sandbox: a Pod has one, and another if the first one fails.
    Sandbox,
    /// A Namespace.
    Namespace,
}

/// What a Namespace was given and used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceUse {
    /// Its name.
    pub namespace: String,
    /// Its UID; empty where it is not known.
    pub namespace_uid: String,
    /// Pods that were there within the hours.
    pub pods: u64,
    /// The sums.
    #[serde(flatten)]
    pub quantities: Quantities,
}

impl Ledger {
    /// What it holds.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn status(&self) -> Result<Status, LedgerError> {
        self.told(self.try_status())
    }

    fn try_status(&self) -> Result<Status, Problem> {
        let number = |text| self.sqlite.query_row(text, [], |row| row.get::<_, u64>(0));
        let time = "SELECT min(start_ns), max(end_ns) FROM journal";
        let (start, end): (Option<i64>, Option<i64>) = self
            .sqlite
            .query_row(time, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Status {
            pods: number("SELECT count(*) FROM pod")?,
            journals: number("SELECT count(*) FROM journal")?,
            running: number("SELECT count(*) FROM journal WHERE ended = 0")?,
            records: number("SELECT ifnull(sum(records), 0) FROM journal")?,
            time_ns: start.zip(end),
            closed: chain::head(&self.sqlite)?,
            bytes: number(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
            )?,
        })
    }

    /// What every Pod was given and used within the window, from the records, one by one. A Pod is
    /// there once, with the spans of all its sandboxes; a Pod that had no time within the window is
    /// not.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn pod_uses(&self, window: Window) -> Result<PodUses<'_>, LedgerError> {
        let sandboxes = self.told(self.sandboxes(window))?;
        Ok(PodUses {
            ledger: self,
            window,
            sandboxes: sandboxes.into_iter(),
        })
    }

    fn sandboxes(&self, window: Window) -> Result<Vec<Sandbox>, Problem> {
        let mut select = self.sqlite.prepare_cached(
            "SELECT id, pod, ended FROM journal WHERE start_ns < ?2 AND end_ns > ?1
             ORDER BY pod, start_ns, id",
        )?;
        let found = select.query_map([window.from_ns, window.to_ns], |row| {
            Ok(Sandbox {
                journal: row.get(0)?,
                pod: row.get(1)?,
                running: journals::ended(row.get(2)?) == Ended::Running,
            })
        })?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// What was given and used in each hour, from the sums, in the order of time.
    ///
    /// # Errors
    /// The ledger cannot be read, or whoever takes the rows fails.
    pub fn hours(
        &self,
        hours: Range<i64>,
        by: By,
        each: impl FnMut(&HourRow) -> std::io::Result<()>,
    ) -> Result<(), LedgerError> {
        self.told(each_hour(&self.sqlite, hours, by, each))
    }

    /// What each Namespace was given and used within the hours, from the sums, by name.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn namespaces(&self, hours: Range<i64>) -> Result<Vec<NamespaceUse>, LedgerError> {
        self.told(self.try_namespaces(&hours))
    }

    fn try_namespaces(&self, hours: &Range<i64>) -> Result<Vec<NamespaceUse>, Problem> {
        let mut select = self
            .sqlite
            .prepare_cached("SELECT id, name, uid FROM namespace")?;
        let mut uses = std::collections::BTreeMap::new();
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let found = NamespaceUse {
                namespace: row.get(1)?,
                namespace_uid: row.get(2)?,
                ..NamespaceUse::default()
            };
            uses.insert(row.get::<_, i64>(0)?, found);
        }
        let mut select = self.sqlite.prepare_cached(
            "SELECT namespace, hour, quantities FROM namespace_hour WHERE hour >= ?1 AND hour < ?2",
        )?;
        let mut rows = select.query([hours.start, hours.end])?;
        while let Some(row) = rows.next()? {
            if let Some(found) = uses.get_mut(&row.get(0)?) {
                found.quantities.add(&quantities(row, 2, row.get(1)?)?);
            }
        }
        let mut select = self.sqlite.prepare_cached(
            "SELECT namespace, count(*) FROM pod WHERE id IN
             (SELECT pod FROM journal WHERE start_ns < ?2 AND end_ns > ?1) GROUP BY namespace",
        )?;
        let edge = |hour: i64| hour.saturating_mul(skete_usage::HOUR_NS);
        let mut rows = select.query([edge(hours.start), edge(hours.end)])?;
        while let Some(row) = rows.next()? {
            if let Some(found) = uses.get_mut(&row.get(0)?) {
                found.pods = row.get(1)?;
            }
        }
        let mut uses: Vec<_> = uses.into_values().filter(|found| found.pods > 0).collect();
        uses.sort_by(|a, b| {
            (&a.namespace, &a.namespace_uid).cmp(&(&b.namespace, &b.namespace_uid))
        });
        Ok(uses)
    }
}

fn each_hour(
    sqlite: &Connection,
    hours: Range<i64>,
    by: By,
    mut each: impl FnMut(&HourRow) -> std::io::Result<()>,
) -> Result<(), Problem> {
    let mut select = sqlite.prepare_cached(match by {
        By::Sandbox => {
            "SELECT hour, quantities, namespace.name, namespace.uid,
                    pod.name, pod.uid, pod.node, journal.sandbox
             FROM pod_hour JOIN journal ON journal.id = pod_hour.journal
             JOIN pod ON pod.id = journal.pod JOIN namespace ON namespace.id = pod.namespace
             WHERE hour >= ?1 AND hour < ?2
             ORDER BY hour, namespace.name, namespace.uid, pod.uid, start_ns"
        }
        By::Namespace => {
            "SELECT hour, quantities, namespace.name, namespace.uid
             FROM namespace_hour JOIN namespace ON namespace.id = namespace_hour.namespace
             WHERE hour >= ?1 AND hour < ?2
             ORDER BY hour, namespace.name, namespace.uid"
        }
    })?;
    let mut rows = select.query(params![hours.start, hours.end])?;
    while let Some(row) = rows.next()? {
        let hour = row.get(0)?;
        let sandbox = match by {
            By::Namespace => None,
            By::Sandbox => Some(SandboxKey {
                pod: row.get(4)?,
                pod_uid: row.get(5)?,
                node: row.get(6)?,
                sandbox: row.get(7)?,
            }),
        };
        let row = HourRow {
            hour,
            namespace: row.get(2)?,
            namespace_uid: row.get(3)?,
            sandbox,
            quantities: quantities(row, 1, hour)?,
        };
        each(&row).map_err(Problem::Write)?;
    }
    Ok(())
}

#[derive(Debug)]
struct Sandbox {
    journal: i64,
    pod: i64,
    running: bool,
}

/// What Pods were given and used, one by one: see [`Ledger::pod_uses`].
#[derive(Debug)]
pub struct PodUses<'a> {
    ledger: &'a Ledger,
    window: Window,
    sandboxes: vec::IntoIter<Sandbox>,
}

impl PodUses<'_> {
    /// What the sandboxes of the next Pod used.
    fn pod(&mut self) -> Option<Result<Vec<PodUse>, Problem>> {
        let first = self.sandboxes.next()?;
        let rest = self.sandboxes.as_slice().iter();
        let others = rest.take_while(|next| next.pod == first.pod).count();
        let mut sandboxes = vec![first];
        sandboxes.extend(self.sandboxes.by_ref().take(others));
        let uses = sandboxes.iter().map(|sandbox| self.of_sandbox(sandbox));
        Some(uses.collect())
    }

    fn of_sandbox(&self, sandbox: &Sandbox) -> Result<PodUse, Problem> {
        journals::read(&self.ledger.sqlite, sandbox.journal, |reader| {
            fold(reader, self.window, sandbox.running)
        })
    }
}

impl Iterator for PodUses<'_> {
    type Item = Result<PodUse, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.pod()? {
                Err(problem) => return Some(self.ledger.told(Err(problem))),
                Ok(sandboxes) => {
                    let used = by_pod(sandboxes).pop();
                    if let Some(used) = used.filter(|used| !used.spans.is_empty()) {
                        return Some(Ok(used));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "query_test.rs"]
mod tests;
