//! `skete top`.

use clap::Args;

use crate::failure::Failure;
use crate::metrics::Usage;
use crate::output::{self, Table};
use crate::paths::Paths;
use crate::pods;
use crate::record::ContainerPhase;
use crate::shim_client::ShimClient;

/// List the processes of a Pod, as its guest counts them.
#[derive(Debug, Args)]
pub struct Top {
    /// Name, id or beginning of an id
    pod: String,
    /// Only this container
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
}

impl Top {
    /// Does it.
    ///
    /// # Errors
    /// The Pod or container is not there or does not run.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let record = pods::find(paths, &self.pod)?;
        if self.container.is_some() || record.end.is_some() {
            super::running_container_of(&record, self.container.as_deref())?;
        }
        let mut table = Table::new(&["CONTAINER", "PIDS", "CPU TIME", "MEMORY"]);
        let runtime = crate::runtime()?;
        runtime.block_on(async {
            let shim = ShimClient::of_pod(paths, &record.id).await?;
            for container in &record.containers {
                let wanted = self.container.as_ref().is_none_or(|n| *n == container.name);
                if !wanted || container.state != ContainerPhase::Running {
                    continue;
                }
                let pids = shim.pids(&container.task_id).await?;
                let usage = match shim.stats(&container.task_id).await {
                    Ok(stats) => Usage::of_metrics(&stats).unwrap_or_default(),
                    Err(_) => Usage::default(),
                };
                let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
                table.row(vec![
                    container.name.clone(),
                    pids.join(" "),
                    format!("{:.2} s", usage.cpu_ns as f64 / 1e9),
                    output::bytes(usage.memory_bytes),
                ]);
            }
            Ok::<_, Failure>(())
        })?;
        output::print(&table.render())?;
        Ok(0)
    }
}
