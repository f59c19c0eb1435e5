//! The file: making it, knowing it again, bringing it to this version.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

use crate::error::{LedgerError, Problem};

/// How to come from each version to the next.
const MIGRATIONS: &[&str] = &[include_str!("schema.sql")];
/// The version that is written, and the newest that is read.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;
/// What tells a ledger from other databases: `Sket`.
const APPLICATION: i64 = 0x536b_6574;
/// Who writes does so for seconds; whoever waits longer than this waits for somebody who is stuck.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pages of a backup that are copied at a time.
const PAGES: i32 = 4096;

/// What was used, kept for ever.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) sqlite: Connection,
    path: PathBuf,
}

impl Ledger {
    /// Opens a ledger; makes it, for this user alone, if it is not there.
    ///
    /// # Errors
    /// It cannot be made, is something else, or of a newer version.
    pub fn create(path: &Path) -> Result<Self, LedgerError> {
        made(path)
            .and_then(|()| Self::begin(path))
            .map_err(at(path))
    }

    /// Opens a ledger that is there.
    ///
    /// # Errors
    /// It is not there, is something else, or of a newer version.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        match path.metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Problem::Missing),
            _ => Self::begin(path),
        }
        .map_err(at(path))
    }

    fn begin(path: &Path) -> Result<Self, Problem> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut sqlite = Connection::open_with_flags(path, flags)?;
        sqlite.busy_timeout(PATIENCE)?;
        // Before anything is changed in a file that may be somebody else's.
        version(&sqlite)?;
        sqlite.pragma_update(None, "journal_mode", "wal")?;
        // With NORMAL a loss of power may take back what was acknowledged.
        sqlite.pragma_update(None, "synchronous", "full")?;
        sqlite.set_prepared_statement_cache_capacity(32);
        migrate(&mut sqlite)?;
        Ok(Self {
            sqlite,
            path: path.to_owned(),
        })
    }

    /// The ledger's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the ledger as it is now to a new file, whoever reads and writes meanwhile.
    ///
    /// # Errors
    /// The file is there already or cannot be written; it is gone then.
    pub fn backup(&self, file: &Path) -> Result<(), LedgerError> {
        self.told(self.try_backup(file))
    }

    fn try_backup(&self, file: &Path) -> Result<(), Problem> {
        let failed = |source| Problem::Backup {
            path: file.to_owned(),
            source,
        };
        let new = new_file(file).map_err(failed)?;
        let copied = self
            .copy(file)
            .and_then(|()| new.sync_all().map_err(failed))
            .and_then(|()| sync_directory(file).map_err(failed));
        if copied.is_err() {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(file);
        }
        copied
    }

    fn copy(&self, file: &Path) -> Result<(), Problem> {
        let failed = |error: rusqlite::Error| Problem::Backup {
            path: file.to_owned(),
            source: io::Error::other(error),
        };
        let mut to = Connection::open(file).map_err(failed)?;
        let copied = Backup::new(&self.sqlite, &mut to)
            .and_then(|backup| backup.run_to_completion(PAGES, Duration::ZERO, None));
        copied.map_err(failed)?;
        to.close().map_err(|(_, error)| failed(error))
    }

    /// A transaction that nobody else writes beside.
    pub(crate) fn transaction(&mut self) -> Result<Transaction<'_>, Problem> {
        let immediate = TransactionBehavior::Immediate;
        Ok(self.sqlite.transaction_with_behavior(immediate)?)
    }

    /// A result with the ledger's name to it.
    pub(crate) fn told<T>(&self, result: Result<T, Problem>) -> Result<T, LedgerError> {
        result.map_err(at(&self.path))
    }
}

fn at(path: &Path) -> impl Fn(Problem) -> LedgerError {
    move |source| LedgerError {
        path: path.to_owned(),
        source,
    }
}

fn made(path: &Path) -> Result<(), Problem> {
    if let Some(parent) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.map_err(Problem::Make)?;
    }
    match new_file(path) {
        Ok(_) => sync_directory(path).map_err(Problem::Make),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Problem::Make(error)),
    }
}

/// SQLite makes files that everybody may read.
fn new_file(path: &Path) -> io::Result<File> {
    let mut new = OpenOptions::new();
    new.write(true).create_new(true).mode(0o600).open(path)
}

fn sync_directory(file: &Path) -> io::Result<()> {
    let parent = file.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// The version of a ledger, 0 if it is still empty.
fn version(sqlite: &Connection) -> Result<i64, Problem> {
    let number = |pragma| sqlite.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = sqlite.query_row(tables, [], |row| row.get(0))?;
    match (application, version) {
        (0, 0) if tables == 0 => Ok(0),
        (APPLICATION, 1..=VERSION) => Ok(version),
        (APPLICATION, _) if version > VERSION => Err(Problem::Newer(version)),
        _ => Err(Problem::NotALedger),
    }
}

fn migrate(sqlite: &mut Connection) -> Result<(), Problem> {
    if version(sqlite)? == VERSION {
        return Ok(());
    }
    let transaction = sqlite.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another may have been faster.
    let from = usize::try_from(version(&transaction)?).unwrap_or(0);
    for migration in &MIGRATIONS[from..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
#[path = "database_test.rs"]
mod tests;
