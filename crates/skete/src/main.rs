//! `skete`: runs Pods, each in its own microVM, on one machine.
#![forbid(unsafe_code)]

mod cleanup;
mod cli;
mod commands;
mod cost_server;
mod doctor;
mod failure;
mod fifo;
mod files;
mod images;
mod lock;
mod logs;
mod metrics;
mod names;
mod net;
mod output;
mod paths;
mod pods;
mod process;
mod pump;
mod receipt;
mod record;
mod selector;
mod shim_client;
mod shim_process;
mod signals;
mod socket;
mod supervise;
mod sweep;
mod terminal;
mod uses;
mod wire;

use std::io::Write;
use std::process::ExitCode;

use failure::{Failure, OWN_ERROR};

fn main() -> ExitCode {
    let result = cli::parse().and_then(commands::dispatch);
    terminal::restore();
    match result {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if let Some(message) = failure.message() {
                complain(message);
            }
            ExitCode::from(failure.code())
        }
    }
}

/// Tells of something on standard error; of several things in several lines.
pub(crate) fn complain(message: &str) {
    for line in message.lines() {
        // Nobody may be left to tell it to.
        let _ = writeln!(std::io::stderr(), "skete: {}", failure::one_line(line));
    }
}

/// A runtime for a command that has to wait for several things at once.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(cannot_start)
}

fn cannot_start(error: std::io::Error) -> Failure {
    Failure::new(OWN_ERROR, format!("cannot start: {error}"))
}
