//! `skete attach`.

use clap::Args;

use super::session::{Attachment, Outcome, Session};
use crate::failure::Failure;
use crate::paths::Paths;
use crate::pods;

/// Attach to a running container. Ctrl-P Ctrl-Q detaches from a terminal.
#[derive(Debug, Args)]
pub struct Attach {
    /// Name, id or beginning of an id
    pod: String,
    /// Which container, if the Pod has several
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Do not attach standard input
    #[arg(long)]
    no_stdin: bool,
    /// Pass signals on to the container
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    sig_proxy: bool,
}

impl Attach {
    /// Does it.
    ///
    /// # Errors
    /// The Pod or container is not there or does not run.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let record = pods::find(paths, &self.pod)?;
        let container = super::running_container_of(&record, self.container.as_deref())?;
        let attachment = Attachment {
            container: Some(container.name.clone()),
            stdin: (container.stdin && !self.no_stdin).then(|| container.name.clone()),
            tty: container.tty.then(|| container.name.clone()),
            names: Vec::new(),
            proxy_signals: self.sig_proxy,
            stop_on_signal: false,
        };
        let runtime = crate::runtime()?;
        let outcome = runtime.block_on(async {
            Session::connect(paths, &record.id, attachment)
                .await?
                .follow()
                .await
        });
        crate::terminal::restore();
        match outcome? {
            Outcome::Ended(ended) => {
                let code = ended
                    .container_codes
                    .get(&container.name)
                    .copied()
                    .unwrap_or(ended.exit_code);
                Ok(u8::try_from(code).unwrap_or(u8::MAX))
            }
            Outcome::ContainerEnded(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
            Outcome::Detached => Ok(0),
            Outcome::Lost => Err(Failure::own(format!(
                "the follower of Pod {} is gone",
                record.name
            ))),
        }
    }
}
