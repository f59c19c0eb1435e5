//! `skete stats`.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use crate::failure::Failure;
use crate::metrics::Usage;
use crate::output::{self, Document, Table};
use crate::paths::Paths;
use crate::pods;
use crate::record::{PodId, PodRecord};
use crate::shim_client::ShimClient;

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Show what Pods use.
#[derive(Debug, Args)]
pub struct Stats {
    /// Names, ids or beginnings of ids; none: every Pod that runs
    #[arg(value_name = "POD")]
    pods: Vec<String>,
    /// Look once
    #[arg(long)]
    no_stream: bool,
    /// How to show it; looks once
    #[arg(short, long, value_enum)]
    output: Option<Document>,
}

/// One Pod's line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    name: String,
    vcpus: u32,
    memory_mib: u64,
    /// Of one processor.
    cpu_percent: f64,
    #[serde(flatten)]
    usage: Usage,
}

impl Stats {
    /// Does it.
    ///
    /// # Errors
    /// A Pod is not there or does not run, or standard output cannot be written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let runtime = crate::runtime()?;
        runtime.block_on(self.watch(paths))
    }

    async fn watch(&self, paths: &Paths) -> Result<u8, Failure> {
        let once = self.no_stream || self.output.is_some() || !std::io::stdout().is_terminal();
        let mut before = HashMap::new();
        self.look(paths, &mut before).await?;
        loop {
            // Processor time is a counter: two looks tell how fast it grows.
            tokio::time::sleep(if once { PERIOD / 5 } else { PERIOD }).await;
            let rows = self.look(paths, &mut before).await?;
            if let Some(format) = self.output {
                output::document(&rows, format)?;
                return Ok(0);
            }
            let table = table(&rows);
            if once {
                output::print(&table)?;
                return Ok(0);
            }
            // Home, the table, and nothing below it.
            let lines = table.replace('\n', "\x1b[K\n");
            output::print(&format!("\x1b[H{lines}\x1b[J"))?;
        }
    }

    fn wanted(&self, paths: &Paths) -> Result<Vec<PodRecord>, Failure> {
        if self.pods.is_empty() {
            let records = pods::list(paths)?;
            return Ok(records.into_iter().filter(|r| r.end.is_none()).collect());
        }
        self.pods
            .iter()
            .map(|name| {
                let record = pods::find(paths, name)?;
                if record.end.is_some() {
                    return Err(Failure::own(format!("Pod {} does not run", record.name)));
                }
                Ok(record)
            })
            .collect()
    }

    async fn look(
        &self,
        paths: &Paths,
        before: &mut HashMap<PodId, (Instant, u64)>,
    ) -> Result<Vec<Row>, Failure> {
        let mut rows = Vec::new();
        for record in self.wanted(paths)? {
            // A Pod that is just starting or ending has nothing to show.
            let Ok(shim) = ShimClient::of_pod(paths, &record.id).await else {
                continue;
            };
            let Ok(metrics) = shim.sandbox_metrics().await else {
                continue;
            };
            let usage = Usage::of_metrics(&metrics).unwrap_or_default();
            let now = Instant::now();
            let then = before.insert(record.id.clone(), (now, usage.cpu_ns));
            let cpu_percent = match then {
                Some((at, cpu_ns)) => {
                    let used = usage.cpu_ns.saturating_sub(cpu_ns) as f64;
                    used / now.duration_since(at).as_nanos().max(1) as f64 * 100.0
                }
                None => 0.0,
            };
            rows.push(Row {
                id: record.id.short().to_owned(),
                name: record.name,
                vcpus: record.size.vcpus,
                memory_mib: record.size.memory_mib,
                cpu_percent,
                usage,
            });
        }
        Ok(rows)
    }
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new(&[
        "POD ID",
        "NAME",
        "CPU %",
        "MEM USAGE / SIZE",
        "NET I/O",
        "BLOCK I/O",
        "PIDS",
    ]);
    for row in rows {
        let usage = &row.usage;
        table.row(vec![
            row.id.clone(),
            row.name.clone(),
            format!("{:.2}%", row.cpu_percent),
            format!(
                "{} / {}",
                output::bytes(usage.memory_bytes),
                output::bytes(row.memory_mib << 20)
            ),
            format!(
                "{} / {}",
                output::bytes(usage.received_bytes),
                output::bytes(usage.sent_bytes)
            ),
            format!(
                "{} / {}",
                output::bytes(usage.read_bytes),
                output::bytes(usage.written_bytes)
            ),
            usage.pids.to_string(),
        ]);
    }
    table.render()
}
