//! The chain of hours that are closed.
//!
//! An hour's hash covers the hash of the hour before and every record that the hour answers for, in
//! an order that depends on nothing but the records. What is late for an hour that is closed is
//! answered for by the hour that is open when it comes: nothing is ever put behind a hash.

use std::fmt::{self, Debug, Display, Formatter};
use std::str::FromStr;

use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use crate::database::Ledger;
use crate::error::{LedgerError, Problem};
use crate::journals;

/// What a chain begins with.
const GENESIS: &[u8] = b"skete ledger 1";

/// The hash of an hour and all before it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub(crate) [u8; 32]);

impl Display for Hash {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Debug for Hash {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANT: &str = "a hash has 64 hexadecimal digits";
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(WANT);
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| WANT)?;
        }
        Ok(Self(hash))
    }
}

impl Ledger {
    /// Closes every hour before this one, counted from the Unix epoch, and tells how many had
    /// records.
    ///
    /// # Errors
    /// The ledger cannot be written. Then no hour is closed that was not.
    pub fn close_before(&mut self, hour: i64) -> Result<u64, LedgerError> {
        let closed = self.try_close(hour);
        self.told(closed)
    }

    fn try_close(&mut self, before: i64) -> Result<u64, Problem> {
        let transaction = self.transaction()?;
        let mut hash = head(&transaction)?.map(|(_, hash)| hash);
        let open = open_hour(&transaction)?;
        let hours = {
            let mut select = transaction.prepare(
                "SELECT DISTINCT hour FROM posting WHERE hour >= ?1 AND hour < ?2 ORDER BY hour",
            )?;
            let hours = select.query_map([open, before], |row| row.get(0))?;
            hours.collect::<Result<Vec<i64>, _>>()?
        };
        for hour in &hours {
            let next = hash_of(&transaction, hash, *hour)?;
            let values = params![hour, next.0];
            transaction.execute("INSERT INTO closed (hour, hash) VALUES (?1, ?2)", values)?;
            hash = Some(next);
        }
        transaction.commit()?;
        Ok(hours.len() as u64)
    }
}

/// The earliest hour that may still be posted to.
pub(crate) fn open_hour(sqlite: &Connection) -> Result<i64, Problem> {
    Ok(head(sqlite)?.map_or(i64::MIN, |(hour, _)| hour + 1))
}

/// The last hour that is closed.
pub(crate) fn head(sqlite: &Connection) -> Result<Option<(i64, Hash)>, Problem> {
    let mut select = sqlite.prepare_cached("SELECT hour, hash FROM closed ORDER BY hour DESC")?;
    let mut rows = select.query([])?;
    let row = rows.next()?;
    Ok(row
        .map(|row| Ok::<_, rusqlite::Error>((row.get(0)?, Hash(row.get(1)?))))
        .transpose()?)
}

/// An hour's hash, given that of the closed hour before it.
pub(crate) fn hash_of(
    sqlite: &Connection,
    before: Option<Hash>,
    hour: i64,
) -> Result<Hash, Problem> {
    let mut sha = Sha256::new();
    match before {
        Some(Hash(hash)) => sha.update(hash),
        None => sha.update(Sha256::digest(GENESIS)),
    }
    sha.update(hour.to_be_bytes());
    let mut select = sqlite.prepare_cached(
        "SELECT journal.id, pod.uid, boot, sandbox, began_ns, first, next FROM posting
         JOIN journal ON journal.id = posting.journal JOIN pod ON pod.id = journal.pod
         WHERE posting.hour = ?1 ORDER BY pod.uid, boot, sandbox, began_ns",
    )?;
    let mut rows = select.query([hour])?;
    while let Some(row) = rows.next()? {
        for column in 1..4 {
            let text: String = row.get(column)?;
            sha.update((text.len() as u64).to_be_bytes());
            sha.update(text);
        }
        let began_ns: i64 = row.get(4)?;
        let (first, next): (u32, u32) = (row.get(5)?, row.get(6)?);
        sha.update(began_ns.to_be_bytes());
        sha.update(first.to_be_bytes());
        sha.update(next.to_be_bytes());
        journals::lines(sqlite, row.get(0)?, first, next, |line| {
            sha.update((line.len() as u64).to_be_bytes());
            sha.update(line);
        })?;
    }
    Ok(Hash(sha.finalize().into()))
}

#[cfg(test)]
#[path = "chain_test.rs"]
mod tests;
