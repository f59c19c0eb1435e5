//! `skete cost serve`.

use std::net::SocketAddr;

use clap::Args;
use skete_billing::opencost::Detail;

use crate::commands::prices;
use crate::cost_server::{Server, serve};
use crate::failure::Failure;
use crate::output;
use crate::paths::Paths;

/// Serve what Pods cost: OpenCost's API, Prometheus' metrics, and a page.
///
/// It reads the usage journals of this machine. Whoever reaches the address sees all Pods' names and
/// costs: it is this machine's own unless told otherwise.
#[derive(Debug, Args)]
pub struct Serve {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9003")]
    listen: SocketAddr,
    /// The price list, by name or file; without it, the machine's
    #[arg(short, long, env = prices::ENV, value_name = "NAME|FILE", hide_env_values = true)]
    prices: Option<String>,
    /// What the cluster is called
    #[arg(long, value_name = "NAME", default_value = "default-cluster")]
    cluster: String,
    /// Metrics of each Pod that runs, and not of Namespaces alone
    #[arg(long)]
    pod_metrics: bool,
}

impl Serve {
    /// Does it, until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// No price list is chosen, or it is wrong; or the address is in use.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let list = prices::machines(self.prices.as_deref(), paths)?;
        let detail = if self.pod_metrics {
            Detail::Pod
        } else {
            Detail::Namespace
        };
        let local = self.listen.ip().is_loopback();
        let server = Server::new(paths.clone(), list, self.cluster.clone(), detail, local)?;
        crate::runtime()?.block_on(async {
            let listener = tokio::net::TcpListener::bind(self.listen)
                .await
                .map_err(|error| {
                    Failure::own(format!("cannot listen on {}: {error}", self.listen))
                })?;
            output::print(&format!("http://{}/\n", listener.local_addr()?))?;
            serve(listener, server).await
        })?;
        Ok(0)
    }
}
