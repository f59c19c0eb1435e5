//! `skete version`.

use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{self, Document};
use crate::paths::{SHIM, program};
use crate::record::SCHEMA;

/// Show versions.
#[derive(Debug, Args)]
pub struct Version {
    /// How to show them
    #[arg(short, long, value_enum)]
    output: Option<Document>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    version: &'static str,
    architecture: &'static str,
    record_schema: u32,
    task_api: i32,
    shim: std::path::PathBuf,
}

impl Version {
    /// Does it.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn run(&self) -> Result<u8, Failure> {
        let versions = Versions {
            version: env!("CARGO_PKG_VERSION"),
            architecture: std::env::consts::ARCH,
            record_schema: SCHEMA,
            task_api: containerd_shim_protos::TASK_API_VERSION,
            shim: program(SHIM),
        };
        match self.output {
            Some(format) => output::document(&versions, format)?,
            None => output::print(&format!(
                "skete {}\narchitecture: {}\nTask API: {}\nshim: {}\n",
                versions.version,
                versions.architecture,
                versions.task_api,
                versions.shim.display()
            ))?,
        }
        Ok(0)
    }
}
