//! Leaves a node as it was before [`crate::install`].

use std::path::PathBuf;

use crate::lock;
use crate::program;
use crate::record::{self, Record};
use crate::systemd;
use crate::undo;

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
    /// Two at once.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// The record.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// What was changed.
    #[error(transparent)]
    Undo(#[from] undo::Error),
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
        let lock = lock::take(&self.prefix)?;
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
        undo::take_back(&self.prefix, &record)?;
        let systemd = systemd::is_running(&self.root);
        if systemd {
            systemd::reload().map_err(Error::Restart)?;
        }
        if systemd && self.restart {
            systemd::restart().map_err(Error::Restart)?;
            done.restarted = true;
        } else {
            done.left
                .push("restart containerd: it still has the runtime in memory".to_owned());
        }
        undo::remove_programs(&self.prefix, &record)?;
        drop(lock);
        Ok(done)
    }
}

#[cfg(test)]
#[path = "uninstall_test.rs"]
mod tests;
