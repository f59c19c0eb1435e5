//! Asks the engine now and then what the Pod uses.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::receipt::Meter;
use crate::shim_client::ShimClient;
use crate::usage::Usage;

/// Time between two samples.
const PERIOD: Duration = Duration::from_secs(5);
/// The last sample must not hold up the end.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// Takes samples in the background.
pub struct Sampler {
    client: ShimClient,
    started: Instant,
    meter: Arc<Mutex<Meter>>,
    task: JoinHandle<()>,
}

impl Sampler {
    /// Begins to take samples of a sandbox that was started then.
    pub fn start(client: ShimClient, started: Instant) -> Self {
        let meter = Arc::new(Mutex::new(Meter::default()));
        let task = tokio::spawn({
            let (client, meter) = (client.clone(), Arc::clone(&meter));
            async move {
                loop {
                    sample(&client, started, &meter).await;
                    tokio::time::sleep(PERIOD).await;
                }
            }
        });
        Self {
            client,
            started,
            meter,
            task,
        }
    }

    /// Takes the last sample.
    pub async fn finish(self) -> Meter {
        self.task.abort();
        let last = sample(&self.client, self.started, &self.meter);
        let _ = tokio::time::timeout(LAST_PATIENCE, last).await;
        let meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.clone()
    }
}

async fn sample(client: &ShimClient, started: Instant, meter: &Mutex<Meter>) {
    let Some((cpu_ns, memory_bytes)) = used(client).await else {
        return;
    };
    meter.lock().unwrap_or_else(PoisonError::into_inner).sample(
        started.elapsed().as_secs_f64(),
        cpu_ns,
        memory_bytes,
    );
}

/// Processor time and memory of everything of the Pod on the host, as its cgroup counts them;
/// where the engine has no such count, of the guest, as its kernel does.
async fn used(client: &ShimClient) -> Option<(u64, u64)> {
    let status = client.sandbox_status().await.ok()?;
    let number = |key: &str| status.info.get(key).and_then(|v| v.parse::<u64>().ok());
    if let (Some(cpu_ns @ 1..), Some(memory_bytes)) =
        (number("usage.cpu-ns"), number("usage.memory-bytes"))
    {
        return Some((cpu_ns, memory_bytes));
    }
    let usage = Usage::of_metrics(&client.sandbox_metrics().await.ok()?)?;
    Some((usage.cpu_ns, usage.memory_bytes))
}
