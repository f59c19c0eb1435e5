//! Takes back what a record says was changed: an installation that failed, or one that is removed.

use std::fs;
use std::path::Path;

use crate::config::{self, Main};
use crate::error::FileError;
use crate::files;
use crate::lock;
use crate::record::{Edit, Record};
use crate::versions::Versions;

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// containerd's configuration was changed since, and cannot be read now.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Takes back all that containerd and systemd read. Fine if some of it is gone already.
pub(crate) fn take_back(prefix: &Path, record: &Record) -> Result<(), Error> {
    restore_main(prefix, record)?;
    files::remove_file(&record.drop_in)?;
    for file in &record.files {
        files::remove_file(file)?;
    }
    Ok(())
}

/// Byte for byte, unless somebody has changed the file since: then our line goes, and no more.
fn restore_main(prefix: &Path, record: &Record) -> Result<(), Error> {
    let Some(edit) = &record.edit else {
        return Ok(());
    };
    let path = &record.containerd_config;
    let Some(now) = files::read_text(path)? else {
        return Ok(());
    };
    if Edit::digest(&now) != edit.after {
        let mut main = Main::parse(path, &now)?;
        if main.imports().any(|import| import == edit.import) {
            main.remove_import(&edit.import);
            files::replace(path, &main.text())?;
        }
        return Ok(());
    }
    match files::read_text(&Record::backup(prefix))? {
        Some(before) if edit.existed => files::replace(path, &before)?,
        _ => files::remove_file(path)?,
    }
    Ok(())
}

/// Removes the programs, the record, and the directories that were made for them.
pub(crate) fn remove_programs(prefix: &Path, record: &Record) -> Result<(), Error> {
    Versions::below(prefix).remove_all()?;
    files::remove_file(&Record::backup(prefix))?;
    files::remove_file(&prefix.join(lock::NAME))?;
    files::remove_file(&Record::path(prefix))?;
    for directory in record.directories.iter().rev() {
        // What somebody has put there since stays, and so does the directory.
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}
