//! The command line.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::commands::{
    attach, completion, cost, doctor, exec, image, inspect, invoice, kill, ledger, logs, node,
    port, prices, ps, rm, run, stats, stop, top, usage, version, wait,
};
use crate::failure::{Failure, OWN_ERROR};
use crate::paths::{DEFAULT_ROOT, DEFAULT_RUN_ROOT, Paths, ROOT_ENV, RUN_ROOT_ENV};

/// Runs Pods, each in its own microVM.
#[derive(Debug, Parser)]
#[command(
    name = "skete",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Where things are.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Directory for images, records and logs
    #[arg(long, global = true, env = ROOT_ENV, default_value = DEFAULT_ROOT, value_name = "DIR", hide_env_values = true)]
    root: PathBuf,
    /// Directory for what need not survive a reboot
    #[arg(long, global = true, env = RUN_ROOT_ENV, default_value = DEFAULT_RUN_ROOT, value_name = "DIR", hide_env_values = true)]
    run_root: PathBuf,
}

impl Global {
    /// The two roots, absolute.
    ///
    /// # Errors
    /// The current directory is gone.
    pub fn paths(&self) -> Result<Paths, Failure> {
        Ok(Paths::new(
            std::path::absolute(&self.root)?,
            std::path::absolute(&self.run_root)?,
        ))
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a Pod: an image with a command, or a Pod file
    Run(Box<run::Run>),
    /// List Pods
    #[command(visible_alias = "ls")]
    Ps(ps::Ps),
    /// Show what a Pod's containers wrote
    Logs(logs::Logs),
    /// Run a further command in a running container
    Exec(exec::Exec),
    /// Attach to a running container
    Attach(attach::Attach),
    /// Wait until Pods end, and print their exit codes
    Wait(wait::Wait),
    /// End Pods: their stop signal, the grace period, then SIGKILL
    Stop(stop::Stop),
    /// Send a signal to Pods
    Kill(kill::Kill),
    /// Remove Pods that have ended
    Rm(rm::Rm),
    /// Show all that is known of Pods
    Inspect(inspect::Inspect),
    /// Show what Pods use
    Stats(stats::Stats),
    /// Show what Pods were given and used, running or ended: by Pod, Namespace, label or controller
    Usage(usage::Usage),
    /// Keep what was used for ever: ingest, status, verify, usage, export, backup
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// List the published ports of a Pod
    Port(port::Port),
    /// List the processes of a Pod
    Top(top::Top),
    /// Images: pull, ls, rm, load, prune, inspect
    #[command(subcommand)]
    Image(image::Image),
    /// Pull an image (as `image pull`)
    Pull(image::Pull),
    /// List images (as `image ls`)
    Images(image::Ls),
    /// Remove images (as `image rm`)
    Rmi(image::Rm),
    /// Load images from an archive (as `image load`)
    Load(image::Load),
    /// Show what Pods cost, or would cost: estimate, serve
    Cost(cost::Cost),
    /// Make the invoice of a tenant's month
    Invoice(invoice::Invoice),
    /// Price lists: ls, show, check
    #[command(subcommand)]
    Prices(prices::Prices),
    /// Check whether this machine can run Pods, and safely
    Doctor(doctor::Doctor),
    /// Make this machine a Kubernetes node that runs Pods in microVMs: install, uninstall, status
    #[command(subcommand)]
    Node(node::Node),
    /// Show versions
    Version(version::Version),
    /// Print a completion script for a shell
    Completion(completion::Completion),
    /// The process that follows one Pod; started by `run`
    #[command(hide = true)]
    Supervise(Supervise),
}

/// `skete supervise`.
#[derive(Debug, Args)]
pub struct Supervise {
    /// The Pod's id.
    pub pod: String,
}

/// Reads the command line.
///
/// # Errors
/// It is not understood; then all has been said. Help and version come back with exit code 0.
pub fn parse() -> Result<Cli, Failure> {
    Cli::try_parse().map_err(|error| {
        // Nobody may be left to read it.
        let _ = error.print();
        Failure::quiet(match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => 0,
            _ => OWN_ERROR,
        })
    })
}

#[cfg(test)]
#[path = "cli_test.rs"]
mod tests;
