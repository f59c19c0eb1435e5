//! `skete port`.

use clap::Args;

use super::ps::host_side;
use crate::failure::Failure;
use crate::output;
use crate::paths::Paths;
use crate::pods;

/// List the published ports of a Pod.
#[derive(Debug, Args)]
pub struct Port {
    /// Name, id or beginning of an id
    pod: String,
    /// Only this port of the Pod: PORT[/PROTOCOL]
    port: Option<String>,
}

impl Port {
    /// Does it.
    ///
    /// # Errors
    /// The Pod is not there or does not publish the port, or standard output cannot be written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let record = pods::find(paths, &self.pod)?;
        let mut lines = String::new();
        for port in &record.network.ports {
            let protocol = port.protocol.to_ascii_lowercase();
            let inside = format!("{}/{protocol}", port.container_port);
            match &self.port {
                None => lines.push_str(&format!("{inside} -> {}\n", host_side(port))),
                Some(wanted) => {
                    let wanted = wanted.to_ascii_lowercase();
                    let full = wanted.contains('/');
                    if wanted == inside || (!full && format!("{wanted}/tcp") == inside) {
                        lines.push_str(&format!("{}\n", host_side(port)));
                    }
                }
            }
        }
        if let (Some(port), true) = (&self.port, lines.is_empty()) {
            return Err(Failure::own(format!(
                "Pod {} does not publish port {port}",
                record.name
            )));
        }
        output::print(&lines)?;
        Ok(0)
    }
}
