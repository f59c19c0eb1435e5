//! `skete completion`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output;

/// Print a completion script for a shell.
#[derive(Debug, Args)]
pub struct Completion {
    /// bash, zsh, fish, elvish or powershell
    shell: Shell,
}

impl Completion {
    /// Does it.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn run(&self) -> Result<u8, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "skete", &mut script);
        output::print_bytes(&script)?;
        Ok(0)
    }
}
