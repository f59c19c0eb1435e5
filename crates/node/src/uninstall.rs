//! Leaves a node as it was before [`crate::install`].

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::{self, Main};
use crate::error::FileError;
use crate::files;
use crate::install::{self, sha256};
use crate::program;
use crate::record::{self, Record};
use crate::systemd;
use crate::versions::Versions;

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was installed there.
    #[error("nothing is installed in {0}: say where with --prefix")]
    NotInstalled(PathBuf),
    /// The node is in use.
    #[error(
        "{} of Skete run on this node: drain it first, or leave them without a way to stop them \
         cleanly with --force", counted(.0)
    )]
    PodsRun(Vec<String>),
    /// The node's label.
    #[error("take the node's label away, or go on without with --force")]
    Label(#[source] program::Error),
    /// containerd did not come back.
    #[error(
        "containerd does not start without Skete's configuration either; programs are left in place"
    )]
    Restart(#[source] program::Error),
    /// The prefix is in use.
    #[error(transparent)]
    Lock(Box<install::Error>),
    /// The record.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// containerd's configuration was changed since, and cannot be read now.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

fn counted(pods: &[String]) -> String {
    match pods {
        [one] => format!("Pod {one}"),
        [first, ..] => format!("{} Pods ({first}, …)", pods.len()),
        [] => "Pods".to_owned(),
    }
}

/// What to remove.
#[derive(Debug, Clone)]
pub struct Uninstall {
    /// The node's root directory, `/` but in tests.
    pub root: PathBuf,
    /// Where it was installed.
    pub prefix: PathBuf,
    /// Whether to restart containerd.
    pub restart: bool,
    /// Whether to go on though Pods run, or the label stays.
    pub force: bool,
    /// The Pods of containerd that run in VMs now, by name.
    pub pods: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uninstalled {
    /// Whether containerd was restarted.
    pub restarted: bool,
    /// What is left to do by hand, a line each.
    pub left: Vec<String>,
}

impl Uninstall {
    /// Does it.
    ///
    /// # Errors
    /// Pods run, or something cannot be changed back; it can be run again then.
    pub fn run(&self) -> Result<Uninstalled, Error> {
        let Some(record) = Record::load(&self.prefix)? else {
            return Err(Error::NotInstalled(self.prefix.clone()));
        };
        if !self.pods.is_empty() && !self.force {
            return Err(Error::PodsRun(self.pods.clone()));
        }
        let lock = install::lock(&self.prefix).map_err(|error| Error::Lock(Box::new(error)))?;
        let mut done = Uninstalled {
            restarted: false,
            left: Vec::new(),
        };
        if let Some(label) = &record.label {
            match label.remove() {
                Err(error) if !self.force => return Err(Error::Label(error)),
                Err(error) => done.left.push(format!("the node keeps its label: {error}")),
                Ok(()) => {}
            }
        }
        take_back(&self.prefix, &record)?;
        if !systemd::is_running(&self.root) || !self.restart {
            done.left
                .push("restart containerd: it still has the runtime in memory".to_owned());
        } else {
            systemd::restart().map_err(Error::Restart)?;
            done.restarted = true;
        }
        remove_programs(&self.prefix, &record)?;
        drop(lock);
        Ok(done)
    }
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
    if sha256(&now) != edit.after {
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
    files::remove_file(&prefix.join("lock"))?;
    files::remove_file(&Record::path(prefix))?;
    for directory in record.directories.iter().rev() {
        // What somebody has put there since stays, and so does the directory.
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}

#[cfg(test)]
#[path = "uninstall_test.rs"]
mod tests;
