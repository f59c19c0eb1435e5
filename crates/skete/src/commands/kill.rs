//! `skete kill`.

use clap::Args;

use super::control::Control;
use crate::failure::Failure;
use crate::output;
use crate::paths::Paths;
use crate::pods;
use crate::signals;
use crate::wire::Request;

/// Send a signal to Pods.
#[derive(Debug, Args)]
pub struct Kill {
    /// Names, ids or beginnings of ids
    #[arg(required_unless_present = "all", value_name = "POD")]
    pods: Vec<String>,
    /// Every Pod that runs
    #[arg(short, long, conflicts_with = "pods")]
    all: bool,
    /// Name or number of the signal
    #[arg(short, long, value_parser = signals::parse, default_value = "KILL")]
    signal: u32,
    /// Only this container
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
}

impl Kill {
    /// Does it.
    ///
    /// # Errors
    /// A Pod is not there or has ended, or standard output cannot be written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let names = pods::named_or_active(paths, &self.pods, self.all)?;
        let runtime = crate::runtime()?;
        super::for_each(&names, |name| {
            let record = pods::find(paths, name)?;
            if let Some(container) = &self.container {
                super::container_of(&record, Some(container))?;
            }
            let request = Request::Signal {
                signal: self.signal,
                container: self.container.clone(),
            };
            runtime.block_on(async {
                let not_running = || Failure::own(format!("Pod {} does not run", record.name));
                if record.end.is_some() {
                    return Err(not_running());
                }
                let control = Control::ask(paths, &record.id, request).await?;
                control.ok_or_else(not_running)?.answer().await
            })?;
            output::print(&format!("{name}\n"))
        })
    }
}
