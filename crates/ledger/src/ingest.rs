//! Taking journals in.
//!
//! A record is known by its Pod's UID, the boot, the sandbox, the moment at which its journal began,
//! and its sequence: none of it was given by the ledger. Records, the sums that they change and the
//! hours that answer for them are written in one transaction, so that whoever is killed has either
//! counted a record or not seen it.

use std::path::PathBuf;

use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, params};
use skete_usage::{Ended, Event, HOUR_NS, JournalError, JournalFile, OpenJournal, Pod, VERSION};

use crate::chain;
use crate::database::Ledger;
use crate::error::{LedgerError, Problem};
use crate::journals::{self, Key, Known};
use crate::sums::Touched;

/// Records after which a transaction ends: it holds others up, and its pages are in memory.
const BATCH: u64 = 100_000;
/// The longest life of a sandbox that is believed: ten years.
const MAX_LIFE_NS: i64 = 10 * 366 * 24 * HOUR_NS;

/// What was taken in.
#[derive(Debug, Default)]
pub struct Ingested {
    /// Journals of which there were records that were new.
    pub journals: u64,
    /// New records.
    pub records: u64,
    /// Journals whose Pod never began.
    pub empty: u64,
    /// Journals of which nothing was taken.
    pub refused: Vec<Refused>,
}

/// A journal of which nothing was taken. What was taken of it before stays.
#[derive(Debug, thiserror::Error)]
#[error("{path}")]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: Refusal,
}

/// Why a journal is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is damaged, of a newer version, or another boot's.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A Pod's UID is another Pod's.
    #[error(
        "says that Pod {uid} is {found}, and the ledger knows it as {known}: one of both nodes lies"
    )]
    OtherPod {
        /// The UID.
        uid: String,
        /// Who it is, as the journal says.
        found: String,
        /// Who it is, as the ledger says.
        known: String,
    },
    /// A record is not what it was.
    #[error("record {0} is not what it was when the ledger took it: take the file from a copy")]
    Changed(u32),
    /// A Pod that ran for longer than any machine does.
    #[error("record {0} lies more than ten years after the Pod's beginning")]
    TooLong(u32),
}

impl Ledger {
    /// Takes in what is new in these journals. A journal that is wrong is reported, and keeps no
    /// other from being taken.
    ///
    /// # Errors
    /// The ledger cannot be written: its disk is full, or somebody else writes to it. What was
    /// taken in until then may be in it or not; to do it again is right in both cases.
    pub fn ingest(
        &mut self,
        journals: impl IntoIterator<Item = JournalFile>,
    ) -> Result<Ingested, LedgerError> {
        let ingested = self.try_ingest(journals.into_iter());
        self.told(ingested)
    }

    fn try_ingest(
        &mut self,
        journals: impl Iterator<Item = JournalFile>,
    ) -> Result<Ingested, Problem> {
        let mut journals = journals.peekable();
        let mut ingested = Ingested::default();
        while journals.peek().is_some() {
            let mut batch = Batch::new(self.transaction()?)?;
            let until = ingested.records + BATCH;
            for journal in journals.by_ref() {
                batch.take(journal, &mut ingested)?;
                if ingested.records >= until {
                    break;
                }
            }
            batch.commit()?;
        }
        Ok(ingested)
    }
}

/// What is written in one transaction.
struct Batch<'a> {
    transaction: Transaction<'a>,
    /// The earliest hour that is not closed.
    open_hour: i64,
    touched: Touched,
}

/// Why nothing is taken of a journal: it is to blame, or the ledger.
enum Stop {
    Refused(Refusal),
    Failed(Problem),
}

impl<E: Into<Refusal>> From<E> for Stop {
    fn from(refusal: E) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Failed(problem)
    }
}

impl<'a> Batch<'a> {
    fn new(transaction: Transaction<'a>) -> Result<Self, Problem> {
        Ok(Self {
            open_hour: chain::open_hour(&transaction)?,
            transaction,
            touched: Touched::default(),
        })
    }

    fn take(&mut self, journal: JournalFile, ingested: &mut Ingested) -> Result<(), Problem> {
        let savepoint = self.transaction.savepoint()?;
        let taken = journal.open().map_err(Stop::from).and_then(|open| {
            let taking = Taking {
                sqlite: &savepoint,
                open_hour: self.open_hour,
            };
            taking.journal(open)
        });
        match taken {
            Ok(None) => {}
            Ok(Some((id, records))) => {
                self.touched.journal(&savepoint, id)?;
                savepoint.commit()?;
                ingested.journals += u64::from(records > 0);
                ingested.records += records;
            }
            Err(Stop::Refused(Refusal::Journal(JournalError::Empty))) => ingested.empty += 1,
            Err(Stop::Refused(source)) => ingested.refused.push(Refused {
                path: journal.path,
                source,
            }),
            Err(Stop::Failed(problem)) => return Err(problem),
        }
        Ok(())
    }

    fn commit(self) -> Result<(), Problem> {
        self.touched.write(&self.transaction)?;
        Ok(self.transaction.commit()?)
    }
}

/// Takes one journal in.
struct Taking<'a> {
    sqlite: &'a Connection,
    open_hour: i64,
}

impl Taking<'_> {
    /// The journal's id and how many records are new; `None` if there is nothing new to it.
    fn journal(&self, open: OpenJournal) -> Result<Option<(i64, u64)>, Stop> {
        let OpenJournal {
            mut reader,
            running,
            length,
        } = open;
        let (opening, began) = (reader.opening().clone(), reader.began());
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let began_ns = signed(began.monotonic_ns);
        let zero_ns = began.wall_ns - began_ns;
        let start_ns = zero_ns + opening.since_ns.map_or(began_ns, signed);
        let key = Key {
            opening: &opening,
            began_ns,
        };
        let pod = self.pod(&opening.pod)?;
        let known = match journals::known(self.sqlite, pod, &key)? {
            Some(known) if known.length == length && !awaited(known.ended, running) => {
                return Ok(None);
            }
            Some(known) => known,
            None => Known {
                id: self.new_journal(pod, &key, start_ns)?,
                records: 0,
                ended: Ended::Running,
                length,
            },
        };
        let mut lines = Lines {
            sqlite: self.sqlite,
            open_hour: self.open_hour,
            journal: known.id,
            known: known.records,
            posting: None,
        };
        let mut last_ns = began.wall_ns;
        let mut ended = known.ended == Ended::Seen;
        let mut records = 1;
        lines.line(0, last_ns, reader.line())?;
        while let Some(record) = reader.next() {
            let record = record?;
            last_ns = zero_ns + signed(record.at.monotonic_ns);
            if last_ns - start_ns > MAX_LIFE_NS {
                return Err(Refusal::TooLong(record.sequence).into());
            }
            ended |= matches!(record.event, Event::End(_));
            records = record.sequence + 1;
            lines.line(record.sequence, last_ns, reader.line())?;
        }
        lines.post()?;
        let ended = match (ended, running) {
            (true, _) => Ended::Seen,
            (false, true) => Ended::Running,
            (false, false) => Ended::Bounded,
        };
        // Of a machine that lost power the ledger may know more than is left of its journal.
        let new = records.saturating_sub(known.records);
        let all = known.records.max(records);
        let end_ns = (new > 0).then_some(last_ns);
        let mut update = prepared(
            self.sqlite,
            "UPDATE journal SET records = ?2, ended = ?3, length = ?4, end_ns = ifnull(?5, end_ns)
             WHERE id = ?1",
        )?;
        let number = journals::ended_number(ended);
        let updated = update.execute(params![known.id, all, number, length, end_ns]);
        updated.map_err(Problem::from)?;
        Ok(Some((known.id, new.into())))
    }

    /// The Pod's id; it is made if there is none.
    fn pod(&self, pod: &Pod) -> Result<i64, Stop> {
        let mut select = prepared(
            self.sqlite,
            "SELECT pod.id, namespace.name, pod.name, pod.node FROM pod
             JOIN namespace ON namespace.id = pod.namespace WHERE pod.uid = ?1",
        )?;
        let known = select.query_row([&pod.uid], |row| {
            let known = [row.get(1)?, row.get(2)?, row.get(3)?];
            Ok((row.get(0)?, known))
        });
        let known: Option<(i64, [String; 3])> = known.optional().map_err(Problem::from)?;
        let Some((id, known)) = known else {
            return Ok(self.new_pod(pod)?);
        };
        let found = [&pod.namespace, &pod.name, &pod.node];
        if known.each_ref() == found {
            return Ok(id);
        }
        let told = |who: [&String; 3]| format!("{}/{} on node {}", who[0], who[1], who[2]);
        Err(Refusal::OtherPod {
            uid: pod.uid.clone(),
            found: told(found),
            known: told(known.each_ref()),
        }
        .into())
    }

    fn new_pod(&self, pod: &Pod) -> Result<i64, Problem> {
        let uid = pod.namespace_uid.as_deref().unwrap_or_default();
        let mut insert = prepared(
            self.sqlite,
            "INSERT INTO namespace (name, uid) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?;
        insert.execute([&pod.namespace, uid])?;
        let mut insert = prepared(
            self.sqlite,
            "INSERT INTO pod (uid, namespace, name, node)
             SELECT ?1, id, ?4, ?5 FROM namespace WHERE name = ?2 AND uid = ?3",
        )?;
        Ok(insert.insert([&pod.uid, &pod.namespace, uid, &pod.name, &pod.node])?)
    }

    fn new_journal(&self, pod: i64, key: &Key, start_ns: i64) -> Result<i64, Problem> {
        let mut insert = prepared(
            self.sqlite,
            "INSERT INTO journal
             (pod, boot, sandbox, began_ns, version, start_ns, end_ns, records, ended, length)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 0, 0, 0)",
        )?;
        let (boot, sandbox) = (&key.opening.boot, &key.opening.sandbox);
        let values = params![pod, boot, sandbox, key.began_ns, VERSION, start_ns];
        Ok(insert.insert(values)?)
    }
}

/// Puts the lines of one journal in their places.
struct Lines<'a> {
    sqlite: &'a Connection,
    open_hour: i64,
    journal: i64,
    /// So many records are there already.
    known: u32,
    /// The hour that answers for the records from the first to the next.
    posting: Option<(i64, u32, u32)>,
}

impl Lines<'_> {
    fn line(&mut self, sequence: u32, at_ns: i64, line: &[u8]) -> Result<(), Stop> {
        if sequence < self.known {
            // All before it are in its place too: the reader counts.
            if sequence + 1 == self.known
                && journals::line(self.sqlite, self.journal, sequence)?.as_bytes() != line
            {
                return Err(Refusal::Changed(sequence).into());
            }
            return Ok(());
        }
        let mut insert = prepared(
            self.sqlite,
            "INSERT INTO record (journal, sequence, line) VALUES (?1, ?2, ?3)",
        )?;
        let line = String::from_utf8_lossy(line);
        let inserted = insert.execute(params![self.journal, sequence, line]);
        inserted.map_err(Problem::from)?;
        let hour = at_ns.div_euclid(HOUR_NS).max(self.open_hour);
        match &mut self.posting {
            Some((of, _, next)) if *of == hour => *next = sequence + 1,
            _ => {
                self.post()?;
                self.posting = Some((hour, sequence, sequence + 1));
            }
        }
        Ok(())
    }

    fn post(&mut self) -> Result<(), Problem> {
        let Some((hour, first, next)) = self.posting.take() else {
            return Ok(());
        };
        let mut upsert = prepared(
            self.sqlite,
            "INSERT INTO posting (hour, journal, first, next) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET next = excluded.next",
        )?;
        upsert.execute(params![hour, self.journal, first, next])?;
        Ok(())
    }
}

/// Whether something may have happened to a journal of which nothing was written: its end is known
/// when its writer has gone.
fn awaited(ended: Ended, running: bool) -> bool {
    ended == Ended::Running && !running
}

fn prepared<'a>(sqlite: &'a Connection, text: &str) -> Result<CachedStatement<'a>, Problem> {
    Ok(sqlite.prepare_cached(text)?)
}

/// The reader lets no clock of more than 62 bits pass.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "ingest_test.rs"]
mod tests;
