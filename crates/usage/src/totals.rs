//! What several Pods were given and used, added up.

use serde::Serialize;

use crate::pod_use::{PodUse, Size, Span, Used};

/// Sizes times time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Amounts {
    /// Thousandths of a vCPU times nanoseconds.
    pub milli_vcpu_ns: u128,
    /// Bytes of memory times nanoseconds.
    pub memory_byte_ns: u128,
    /// Bytes of ephemeral storage times nanoseconds.
    pub storage_byte_ns: u128,
    /// GPUs times nanoseconds.
    pub gpu_ns: u128,
}

/// Sums over the spans of any number of Pods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Time of all Pods together, in nanoseconds.
    pub time_ns: u128,
    /// What they had.
    pub provisioned: Amounts,
    /// What they asked for.
    pub requested: Amounts,
    /// What they used.
    pub used: Used,
    /// How often a container was started.
    pub container_starts: u64,
    /// Compressed bytes of images that were downloaded.
    pub image_bytes: u64,
}

impl Totals {
    /// Adds what a Pod was given and used.
    pub fn add(&mut self, pod: &PodUse) {
        for span in &pod.spans {
            self.add_span(span);
        }
        add(&mut self.container_starts, pod.container_starts);
        add(&mut self.image_bytes, pod.image_bytes);
    }

    pub(crate) fn add_span(&mut self, span: &Span) {
        let time_ns = span.length_ns();
        self.time_ns = self.time_ns.saturating_add(time_ns);
        self.provisioned.add(&span.provisioned, time_ns);
        self.requested.add(&span.requested, time_ns);
        self.used.add(&span.used);
    }
}

impl Span {
    /// How long it is, in nanoseconds.
    #[must_use]
    pub fn length_ns(&self) -> u128 {
        let length = i128::from(self.end_ns) - i128::from(self.start_ns);
        u128::try_from(length).unwrap_or(0)
    }
}

impl Amounts {
    fn add(&mut self, size: &Size, time_ns: u128) {
        for (sum, amount) in [
            (&mut self.milli_vcpu_ns, size.milli_vcpus),
            (&mut self.memory_byte_ns, size.memory_bytes),
            (&mut self.storage_byte_ns, size.storage_bytes),
            (&mut self.gpu_ns, size.gpus),
        ] {
            // Of a hostile journal alone are there more.
            *sum = sum.saturating_add(u128::from(amount).saturating_mul(time_ns));
        }
    }
}

impl Used {
    fn add(&mut self, other: &Self) {
        add(&mut self.cpu_ns, other.cpu_ns);
        self.memory_byte_ns = self.memory_byte_ns.saturating_add(other.memory_byte_ns);
        add(&mut self.block_read_bytes, other.block_read_bytes);
        add(&mut self.block_written_bytes, other.block_written_bytes);
        add(
            &mut self.network_received_bytes,
            other.network_received_bytes,
        );
        add(&mut self.network_sent_bytes, other.network_sent_bytes);
    }
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}
