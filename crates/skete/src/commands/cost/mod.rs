//! `skete cost`.

mod estimate;
mod serve;
mod show;

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::paths::Paths;

/// Digits after the point at least.
const DIGITS: u32 = 2;

/// Show what Pods cost.
///
/// What `skete usage` tells, in money: of Pods that run, up to their last heartbeat, and of those that
/// have ended.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Cost {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    show: show::Show,
}

/// What `skete cost` does besides.
#[derive(Debug, Subcommand)]
enum Command {
    /// Tell what Pods would cost, before they run
    Estimate(estimate::Estimate),
    /// Serve it: OpenCost's API, Prometheus' metrics, and a page
    Serve(serve::Serve),
}

impl Cost {
    /// Does it.
    ///
    /// # Errors
    /// No price list is chosen, or it is wrong; standard output cannot be written; or what the
    /// subcommand could not do.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        match &self.command {
            None => self.show.run(paths),
            Some(Command::Estimate(estimate)) => estimate.run(),
            Some(Command::Serve(serve)) => serve.run(paths),
        }
    }
}
