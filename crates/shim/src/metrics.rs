//! The guest's usage as the cgroup v2 metrics that containerd expects.

use containerd_shim_protos::cgroups_v2::metrics::{
    CPUStat, IOEntry, IOStat, MemoryEvents, MemoryStat, Metrics, NetworkStat, PSIData, PSIStats,
    PidsStat,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::sandbox_api::SandboxMetricsResponse;
use containerd_shim_protos::ttrpc;
use skete_agent_api::agent::{Pressure, Usage};

use crate::convert::timestamp;
use crate::service::Answer;

/// Name of the message in containerd's registry of types.
const TYPE_URL: &str = "io.containerd.cgroups.v2.Metrics";

/// The usage as containerd's `Any`.
pub fn any(usage: &Usage) -> Answer<Any> {
    let value = metrics(usage)
        .write_to_bytes()
        .map_err(|error| ttrpc::Error::Others(format!("encode metrics: {error}")))?;
    Ok(Any {
        type_url: TYPE_URL.to_owned(),
        value,
        ..Default::default()
    })
}

/// Fills in the usage as the metric of sandbox `id`, now. `containerd-shim-protos` does not export
/// the metric's type, so that it is filled where it lies.
pub fn fill(response: &mut SandboxMetricsResponse, id: &str, usage: &Usage) -> Answer<()> {
    let metric = response.metrics.mut_or_insert_default();
    metric.timestamp = timestamp(std::time::SystemTime::now());
    metric.id = id.to_owned();
    metric.data = Some(any(usage)?).into();
    Ok(())
}

fn metrics(usage: &Usage) -> Metrics {
    Metrics {
        pids: Some(PidsStat {
            current: usage.pids,
            ..Default::default()
        })
        .into(),
        cpu: Some(CPUStat {
            usage_usec: usage.cpu_usage_ns / 1000,
            user_usec: usage.cpu_user_ns / 1000,
            system_usec: usage.cpu_system_ns / 1000,
            psi: pressure(&usage.cpu_pressure),
            ..Default::default()
        })
        .into(),
        memory: Some(MemoryStat {
            usage: usage.memory_bytes,
            // In containerd's reckoning no limit is the largest one.
            usage_limit: match usage.memory_limit_bytes {
                0 => u64::MAX,
                limit => limit,
            },
            max_usage: usage.memory_peak_bytes,
            // containerd computes the working set as usage less inactive file pages.
            inactive_file: usage
                .memory_bytes
                .saturating_sub(usage.memory_working_set_bytes),
            anon: usage.memory_anonymous_bytes,
            file: usage.memory_file_bytes,
            pgfault: usage.page_faults,
            pgmajfault: usage.major_page_faults,
            psi: pressure(&usage.memory_pressure),
            ..Default::default()
        })
        .into(),
        io: Some(IOStat {
            // One entry for all of the guest's disks.
            usage: vec![IOEntry {
                rbytes: usage.io_read_bytes,
                wbytes: usage.io_write_bytes,
                ..Default::default()
            }],
            psi: pressure(&usage.io_pressure),
            ..Default::default()
        })
        .into(),
        // Only the sandbox has a network; its interfaces are counted together.
        network: vec![NetworkStat {
            name: "eth0".to_owned(),
            rx_bytes: usage.net_rx_bytes,
            tx_bytes: usage.net_tx_bytes,
            ..Default::default()
        }],
        memory_events: Some(MemoryEvents {
            oom_kill: usage.oom_kills,
            ..Default::default()
        })
        .into(),
        ..Default::default()
    }
}

fn pressure(pressure: &MessageField<Pressure>) -> MessageField<PSIStats> {
    let data = |total| PSIData {
        total,
        ..Default::default()
    };
    let stats = |pressure: &Pressure| PSIStats {
        some: Some(data(pressure.some_us)).into(),
        full: Some(data(pressure.full_us)).into(),
        ..Default::default()
    };
    pressure.as_ref().map(stats).into()
}

#[cfg(test)]
#[path = "metrics_test.rs"]
mod tests;
