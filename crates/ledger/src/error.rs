//! Why a ledger cannot be used.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;
use skete_usage::JournalError;

use crate::database::VERSION;
use crate::hour_begins;

/// A ledger that cannot be used. What was being done is not done, and nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[error("ledger {path}")]
pub struct LedgerError {
    /// The ledger's file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub source: Problem,
}

/// What is wrong with a ledger.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// There is none.
    #[error("is not there: `skete ledger ingest` makes it")]
    Missing,
    /// It cannot be made.
    #[error("cannot be made")]
    Make(#[source] io::Error),
    /// It is something else.
    #[error("is not a ledger of skete but another file: move it away")]
    NotALedger,
    /// It was written by a later version of this program.
    #[error("has version {0}, and this program knows {VERSION}: use the newer skete")]
    Newer(i64),
    /// Somebody else writes to it.
    #[error("is locked by another process: try again when that has ended")]
    Busy,
    /// Its disk has no room.
    #[error("has no room on its disk: make some, and try again")]
    Full,
    /// Its file is not what was written.
    #[error("is damaged: take it from a backup")]
    Damaged(#[source] rusqlite::Error),
    /// A journal in it is not what was written.
    #[error("is damaged, in the journal of sandbox {sandbox}: take it from a backup")]
    DamagedJournal {
        /// The sandbox's id.
        sandbox: String,
        /// What is wrong with the journal.
        #[source]
        source: JournalError,
    },
    /// A sum in it is not one.
    #[error("is damaged: a sum of {} is none; take it from a backup", hour_begins(*hour))]
    DamagedSum {
        /// The hour, counted from the Unix epoch.
        hour: i64,
    },
    /// A backup would overwrite a file, or cannot be written.
    #[error("cannot be copied to {path}")]
    Backup {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Whoever asked for rows could not take them.
    #[error("cannot be written out")]
    Write(#[source] io::Error),
    /// Something else that SQLite says.
    #[error("cannot be used")]
    Sqlite(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::NotADatabase) => Self::NotALedger,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged(error),
            _ => Self::Sqlite(error),
        }
    }
}
