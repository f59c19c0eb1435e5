//! Whether the ledger is still what was written.

use std::fmt::{self, Display, Formatter};

use rusqlite::{Connection, OptionalExtension, params};

use crate::chain::{self, Hash};
use crate::database::Ledger;
use crate::error::{LedgerError, Problem};
use crate::hour_begins;
use crate::quantities::Quantities;
use crate::sums::{self, quantities};

/// What was checked.
#[derive(Debug, Default)]
pub struct Verified {
    /// Hours that are closed.
    pub hours: u64,
    /// Journals, each read from its first record.
    pub journals: u64,
    /// Sums of sandboxes and Namespaces.
    pub sums: u64,
    /// The last hour that is closed, counted from the Unix epoch, and its hash.
    pub head: Option<(i64, Hash)>,
    /// Whether one of the hours has the hash that was asked for.
    pub expected: Option<i64>,
}

/// Something that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// SQLite finds its own file damaged.
    File(String),
    /// The records of a closed hour, counted from the Unix epoch, do not have its hash.
    Hour(i64),
    /// A journal is damaged, or records are missing.
    Journal {
        /// The sandbox's id.
        sandbox: String,
        /// How.
        what: String,
    },
    /// The sum of an hour is not what its records or its sandboxes come to.
    Sum {
        /// The hour, counted from the Unix epoch.
        hour: i64,
        /// Of a sandbox, if it is not a Namespace's.
        sandbox: Option<String>,
    },
}

impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(what) => write!(f, "the file is damaged: {what}"),
            Self::Hour(hour) => write!(f, "{} was closed with other records", hour_begins(*hour)),
            Self::Journal { sandbox, what } => write!(f, "journal of sandbox {sandbox}: {what}"),
            Self::Sum { hour, sandbox } => {
                write!(f, "{}: the sum of ", hour_begins(*hour))?;
                match sandbox {
                    Some(id) => write!(f, "sandbox {id} is not its records'"),
                    None => write!(f, "a Namespace is not its sandboxes'"),
                }
            }
        }
    }
}

impl Ledger {
    /// Checks everything: the file, the chain of closed hours, every journal's records, and every
    /// sum. Each thing that is wrong is told; `expected` is a hash that an hour should have.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn verify(
        &self,
        expected: Option<Hash>,
        tell: impl FnMut(Finding),
    ) -> Result<Verified, LedgerError> {
        self.told(self.try_verify(expected, tell))
    }

    fn try_verify(
        &self,
        expected: Option<Hash>,
        mut tell: impl FnMut(Finding),
    ) -> Result<Verified, Problem> {
        // One look at all of it, whoever writes meanwhile.
        let snapshot = self.sqlite.unchecked_transaction()?;
        let mut verified = Verified::default();
        file(&snapshot, &mut tell)?;
        hours(&snapshot, expected, &mut verified, &mut tell)?;
        let sums = all_journals(&snapshot, &mut verified, &mut tell)?;
        let kept = "SELECT count(*) FROM pod_hour";
        let kept: u64 = snapshot.query_row(kept, [], |row| row.get(0))?;
        // Of a journal that cannot be read nobody knows how many it has.
        if let Some(sums) = sums.filter(|sums| *sums != kept) {
            let what = format!("{kept} sums of sandboxes, and there should be {sums}");
            tell(Finding::File(what));
        }
        verified.sums += kept;
        namespaces(&snapshot, &mut verified, &mut tell)?;
        Ok(verified)
    }
}

fn file(sqlite: &Connection, tell: &mut impl FnMut(Finding)) -> Result<(), Problem> {
    let mut check = sqlite.prepare("PRAGMA quick_check(10)")?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            tell(Finding::File(line));
        }
    }
    Ok(())
}

fn hours(
    sqlite: &Connection,
    expected: Option<Hash>,
    verified: &mut Verified,
    tell: &mut impl FnMut(Finding),
) -> Result<(), Problem> {
    let mut before = None;
    let mut select = sqlite.prepare("SELECT hour, hash FROM closed ORDER BY hour")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (hour, hash) = (row.get(0)?, Hash(row.get(1)?));
        if chain::hash_of(sqlite, before, hour)? != hash {
            tell(Finding::Hour(hour));
        }
        if expected == Some(hash) {
            verified.expected = Some(hour);
        }
        verified.hours += 1;
        verified.head = Some((hour, hash));
        // As it is kept: the hour that is wrong is told, and not all after it.
        before = Some(hash);
    }
    Ok(())
}

/// Checks journals and their sums, and tells how many sums there should be; `None` if a journal
/// cannot be read.
fn all_journals(
    sqlite: &Connection,
    verified: &mut Verified,
    tell: &mut impl FnMut(Finding),
) -> Result<Option<u64>, Problem> {
    let mut sums = Some(0);
    let mut select = sqlite.prepare(
        "SELECT id, sandbox, records, (SELECT count(*) FROM record WHERE journal = journal.id),
                (SELECT ifnull(sum(next - first), 0) FROM posting WHERE posting.journal = journal.id)
         FROM journal",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (id, sandbox): (i64, String) = (row.get(0)?, row.get(1)?);
        let (said, there, posted): (i64, i64, i64) = (row.get(2)?, row.get(3)?, row.get(4)?);
        verified.journals += 1;
        if said != there || posted != said {
            let what = format!("{there} records, {posted} posted, and there should be {said}");
            let sandbox = sandbox.clone();
            tell(Finding::Journal { sandbox, what });
        }
        match sums::of_journal(sqlite, id) {
            Ok(hours) => {
                sums = sums.map(|sums| sums + hours.len() as u64);
                let namespace = sums::namespace_of(sqlite, id)?;
                for (hour, sum) in hours {
                    if kept(sqlite, hour, namespace, id)? != Some(sum.to_blob()) {
                        let sandbox = Some(sandbox.clone());
                        tell(Finding::Sum { hour, sandbox });
                    }
                }
            }
            Err(Problem::DamagedJournal { sandbox, source }) => {
                let what = source.to_string();
                sums = None;
                tell(Finding::Journal { sandbox, what });
            }
            Err(problem) => return Err(problem),
        }
    }
    Ok(sums)
}

fn kept(
    sqlite: &Connection,
    hour: i64,
    namespace: i64,
    journal: i64,
) -> Result<Option<Vec<u8>>, Problem> {
    let mut select = sqlite.prepare_cached(
        "SELECT quantities FROM pod_hour WHERE hour = ?1 AND namespace = ?2 AND journal = ?3",
    )?;
    let found = select.query_row([hour, namespace, journal], |row| row.get(0));
    Ok(found.optional()?)
}

/// Checks that each Namespace's sum is that of its sandboxes, and that there are no others.
fn namespaces(
    sqlite: &Connection,
    verified: &mut Verified,
    tell: &mut impl FnMut(Finding),
) -> Result<(), Problem> {
    let mut select = sqlite.prepare(
        "SELECT hour, namespace, quantities FROM namespace_hour
         UNION ALL SELECT DISTINCT hour, namespace, NULL FROM pod_hour
         WHERE (hour, namespace) NOT IN (SELECT hour, namespace FROM namespace_hour)",
    )?;
    let mut sandboxes =
        sqlite.prepare("SELECT quantities FROM pod_hour WHERE hour = ?1 AND namespace = ?2")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (hour, namespace): (i64, i64) = (row.get(0)?, row.get(1)?);
        let mut sum = Quantities::default();
        let mut parts = sandboxes.query(params![hour, namespace])?;
        while let Some(part) = parts.next()? {
            sum.add(&quantities(part, 0, hour)?);
        }
        verified.sums += 1;
        if row.get::<_, Option<Vec<u8>>>(2)? != Some(sum.to_blob()) {
            let sandbox = None;
            tell(Finding::Sum { hour, sandbox });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "verify_test.rs"]
mod tests;
