//! What the engine says a container or sandbox uses, out of containerd's cgroup metrics.

use containerd_shim_protos::cgroups_v2::metrics::Metrics;
use protobuf::Message;
use protobuf::well_known_types::any::Any;
use serde::Serialize;

/// What is used now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Processor time until now, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Memory that may be used; 0: no limit.
    pub memory_limit_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes read from disks.
    pub read_bytes: u64,
    /// Bytes written to disks.
    pub written_bytes: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
}

impl Usage {
    /// Out of `io.containerd.cgroups.v2.Metrics`; `None` if it is something else.
    pub fn of_metrics(any: &Any) -> Option<Self> {
        let name = any.type_url.rsplit('/').next()?;
        if name != "io.containerd.cgroups.v2.Metrics" {
            return None;
        }
        let metrics = Metrics::parse_from_bytes(&any.value).ok()?;
        let io = &metrics.io.usage;
        Some(Self {
            cpu_ns: metrics.cpu.usage_usec.saturating_mul(1000),
            memory_bytes: metrics.memory.usage,
            // cgroup v2 has `max`, which arrives as the highest number.
            memory_limit_bytes: match metrics.memory.usage_limit {
                u64::MAX => 0,
                limit => limit,
            },
            pids: metrics.pids.current,
            read_bytes: io.iter().map(|device| device.rbytes).sum(),
            written_bytes: io.iter().map(|device| device.wbytes).sum(),
            received_bytes: metrics.network.iter().map(|n| n.rx_bytes).sum(),
            sent_bytes: metrics.network.iter().map(|n| n.tx_bytes).sum(),
        })
    }
}
