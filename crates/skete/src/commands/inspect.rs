//! `skete inspect`.

use clap::Args;

use crate::failure::Failure;
use crate::output::{self, Document};
use crate::paths::Paths;
use crate::pods;

/// Show all that is known of Pods.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Names, ids or beginnings of ids
    #[arg(required = true, value_name = "POD")]
    pods: Vec<String>,
    /// How to show it
    #[arg(short, long, value_enum, default_value = "json")]
    output: Document,
}

impl Inspect {
    /// Does it.
    ///
    /// # Errors
    /// A Pod is not there, or standard output cannot be written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let mut records = Vec::new();
        let code = super::for_each(&self.pods, |name| {
            records.push(pods::find(paths, name)?);
            Ok(())
        })?;
        if !records.is_empty() {
            output::document(&records, self.output)?;
        }
        Ok(code)
    }
}
