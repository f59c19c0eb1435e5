//! `skete rm`.

use clap::Args;

use super::control::ask_and_wait;
use crate::failure::Failure;
use crate::output;
use crate::paths::Paths;
use crate::pods::{self, PodsError};
use crate::wire::Request;

/// Remove Pods that have ended.
#[derive(Debug, Args)]
pub struct Rm {
    /// Names, ids or beginnings of ids
    #[arg(required_unless_present = "all", value_name = "POD")]
    pods: Vec<String>,
    /// End Pods that run with SIGKILL first; Pods that are not there are no error
    #[arg(short, long)]
    force: bool,
    /// Every Pod that has ended; with --force every Pod
    #[arg(short, long, conflicts_with = "pods")]
    all: bool,
}

impl Rm {
    /// Does it.
    ///
    /// # Errors
    /// A Pod is not there or runs, or cannot be removed.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let names = if self.all {
            let records = pods::list(paths)?;
            let wanted = records.iter().filter(|r| self.force || r.end.is_some());
            wanted.map(|r| r.id.as_str().to_owned()).collect()
        } else {
            self.pods.clone()
        };
        let runtime = crate::runtime()?;
        super::for_each(&names, |name| {
            let record = match pods::find(paths, name) {
                Err(PodsError::NotFound(_)) if self.force => return Ok(()),
                other => other?,
            };
            if record.end.is_none() {
                if !self.force {
                    return Err(PodsError::Running(record.name).into());
                }
                let request = Request::Stop {
                    grace: Some(0),
                    signal: None,
                };
                runtime.block_on(ask_and_wait(paths, &record, request))?;
            }
            pods::remove(paths, &record.id)?;
            output::print(&format!("{name}\n"))
        })
    }
}
