//! `skete wait`.

use clap::Args;

use super::control::ask_and_wait;
use crate::failure::Failure;
use crate::output;
use crate::paths::Paths;
use crate::pods::{self, PodsError};
use crate::wire::Request;

/// Wait until Pods end, and print their exit codes.
#[derive(Debug, Args)]
pub struct Wait {
    /// Names, ids or beginnings of ids
    #[arg(required = true, value_name = "POD")]
    pods: Vec<String>,
}

impl Wait {
    /// Does it.
    ///
    /// # Errors
    /// A Pod is not there, or standard output cannot be written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let runtime = crate::runtime()?;
        super::for_each(&self.pods, |name| {
            let record = pods::find(paths, name)?;
            let ended = runtime.block_on(ask_and_wait(paths, &record, Request::Watch))?;
            // One that went with its end cannot be asked any more.
            let exit_code = ended.ok_or_else(|| PodsError::NotFound(name.to_owned()))?;
            output::print(&format!("{exit_code}\n"))
        })
    }
}
