//! `skete stop`.

use clap::Args;

use super::control::ask_and_wait;
use crate::failure::Failure;
use crate::output;
use crate::paths::Paths;
use crate::pods;
use crate::signals;
use crate::wire::Request;

/// End Pods: their stop signal, the grace period, then SIGKILL.
#[derive(Debug, Args)]
pub struct Stop {
    /// Names, ids or beginnings of ids
    #[arg(required_unless_present = "all", value_name = "POD")]
    pods: Vec<String>,
    /// Every Pod that runs
    #[arg(short, long, conflicts_with = "pods")]
    all: bool,
    /// Seconds until SIGKILL, instead of what the Pod says
    #[arg(short, long, visible_alias = "timeout", value_name = "SECONDS")]
    time: Option<u64>,
    /// Signal, instead of what the image says
    #[arg(short, long, value_parser = signals::parse)]
    signal: Option<u32>,
}

impl Stop {
    /// Does it.
    ///
    /// # Errors
    /// A Pod is not there or does not end, or standard output cannot be written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let names = pods::named_or_active(paths, &self.pods, self.all)?;
        let runtime = crate::runtime()?;
        super::for_each(&names, |name| {
            let record = pods::find(paths, name)?;
            let request = Request::Stop {
                grace: self.time,
                signal: self.signal,
            };
            runtime.block_on(ask_and_wait(paths, &record, request))?;
            output::print(&format!("{name}\n"))
        })
    }
}
