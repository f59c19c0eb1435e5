//! Journals as they stand in the ledger.

use std::io::{Cursor, Write};

use rusqlite::{Connection, OptionalExtension, params};
use skete_usage::{Ended, JournalError, MAGIC, Opening, Reader};

use crate::error::Problem;

/// What a record's key is made of, beside the Pod's UID and its sequence.
pub(crate) struct Key<'a> {
    pub(crate) opening: &'a Opening,
    /// By the monotonic clock.
    pub(crate) began_ns: i64,
}

/// A journal of which there are records.
pub(crate) struct Known {
    pub(crate) id: i64,
    pub(crate) records: u32,
    pub(crate) ended: Ended,
    pub(crate) length: i64,
}

/// The journal of that key, if there are records of it.
pub(crate) fn known(sqlite: &Connection, pod: i64, key: &Key) -> Result<Option<Known>, Problem> {
    let mut select = sqlite.prepare_cached(
        "SELECT id, records, ended, length FROM journal
         WHERE pod = ?1 AND boot = ?2 AND sandbox = ?3 AND began_ns = ?4",
    )?;
    let Opening { boot, sandbox, .. } = key.opening;
    let found = select.query_row(params![pod, boot, sandbox, key.began_ns], |row| {
        Ok(Known {
            id: row.get(0)?,
            records: row.get(1)?,
            ended: ended(row.get(2)?),
            length: row.get(3)?,
        })
    });
    Ok(found.optional()?)
}

/// The line of one record.
pub(crate) fn line(sqlite: &Connection, journal: i64, sequence: u32) -> Result<String, Problem> {
    let mut select =
        sqlite.prepare_cached("SELECT line FROM record WHERE journal = ?1 AND sequence = ?2")?;
    Ok(select.query_row([journal, sequence.into()], |row| row.get(0))?)
}

/// Does something with what reads a journal as it stands in the ledger.
pub(crate) fn read<T>(
    sqlite: &Connection,
    journal: i64,
    each: impl FnOnce(Reader<Cursor<Vec<u8>>>) -> Result<T, JournalError>,
) -> Result<T, Problem> {
    let mut select = sqlite.prepare_cached("SELECT sandbox, version FROM journal WHERE id = ?1")?;
    let (sandbox, version): (String, u32) =
        select.query_row([journal], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = writeln!(text, "{MAGIC}{version}");
    lines(sqlite, journal, 0, u32::MAX, |line| {
        text.extend_from_slice(line);
        text.push(b'\n');
    })?;
    let read = Reader::new(Cursor::new(text)).and_then(each);
    read.map_err(|source| Problem::DamagedJournal { sandbox, source })
}

/// The lines of some records, in order.
pub(crate) fn lines(
    sqlite: &Connection,
    journal: i64,
    first: u32,
    next: u32,
    mut each: impl FnMut(&[u8]),
) -> Result<(), Problem> {
    let mut select = sqlite.prepare_cached(
        "SELECT line FROM record WHERE journal = ?1 AND sequence >= ?2 AND sequence < ?3
         ORDER BY sequence",
    )?;
    let mut rows = select.query([journal, first.into(), next.into()])?;
    while let Some(row) = rows.next()? {
        // It is text: the table is strict.
        each(row.get_ref(0)?.as_bytes().unwrap_or_default());
    }
    Ok(())
}

/// How an end is kept.
pub(crate) fn ended_number(ended: Ended) -> u8 {
    match ended {
        Ended::Running => 0,
        Ended::Seen => 1,
        Ended::Bounded => 2,
    }
}

/// The table lets no other numbers in.
pub(crate) fn ended(number: u8) -> Ended {
    match number {
        0 => Ended::Running,
        1 => Ended::Seen,
        _ => Ended::Bounded,
    }
}
