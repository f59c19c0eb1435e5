//! Sums as the ledger keeps them.

use serde::ser::{Serialize, SerializeMap, Serializer};
use skete_usage::{Amounts, Totals, Used};

/// How many quantities there are.
const COUNT: usize = 17;

/// What each is called, in the order in which they are kept. A new one goes to the end.
const NAMES: [&str; COUNT] = [
    "timeNs",
    "provisionedMilliVcpuNs",
    "provisionedMemoryByteNs",
    "provisionedStorageByteNs",
    "provisionedGpuNs",
    "requestedMilliVcpuNs",
    "requestedMemoryByteNs",
    "requestedStorageByteNs",
    "requestedGpuNs",
    "usedCpuNs",
    "usedMemoryByteNs",
    "blockReadBytes",
    "blockWrittenBytes",
    "networkReceivedBytes",
    "networkSentBytes",
    "containerStarts",
    "imageBytes",
];

/// What was given and used in some hours: [`Totals`] whose every sum has 128 bits, since all Pods
/// of a month may come to more bytes than 64 bits can tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quantities([u128; COUNT]);

impl Quantities {
    /// Names of the quantities, in their order.
    pub const NAMES: [&'static str; COUNT] = NAMES;

    /// The quantities, in the order of their names.
    pub fn values(&self) -> &[u128] {
        &self.0
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            // Only journals that lie say so much.
            *sum = sum.saturating_add(more);
        }
    }

    /// The same as totals; a number of bytes that 64 bits cannot tell is the most that they can.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let amounts = |at: usize| Amounts {
            milli_vcpu_ns: self.0[at],
            memory_byte_ns: self.0[at + 1],
            storage_byte_ns: self.0[at + 2],
            gpu_ns: self.0[at + 3],
        };
        let number = |at: usize| u64::try_from(self.0[at]).unwrap_or(u64::MAX);
        Totals {
            time_ns: self.0[0],
            provisioned: amounts(1),
            requested: amounts(5),
            used: Used {
                cpu_ns: number(9),
                memory_byte_ns: self.0[10],
                block_read_bytes: number(11),
                block_written_bytes: number(12),
                network_received_bytes: number(13),
                network_sent_bytes: number(14),
            },
            container_starts: number(15),
            image_bytes: number(16),
        }
    }

    /// As they are kept: 16 bytes each, the highest first.
    pub(crate) fn to_blob(self) -> Vec<u8> {
        self.0.iter().flat_map(|sum| sum.to_be_bytes()).collect()
    }

    /// From what was kept; `None` if it is something else.
    pub(crate) fn of_blob(blob: &[u8]) -> Option<Self> {
        let (sums, rest) = blob.as_chunks::<16>();
        let mut quantities = Self::default();
        if sums.len() != COUNT || !rest.is_empty() {
            return None;
        }
        for (quantity, sum) in quantities.0.iter_mut().zip(sums) {
            *quantity = u128::from_be_bytes(*sum);
        }
        Some(quantities)
    }
}

impl From<&Totals> for Quantities {
    fn from(totals: &Totals) -> Self {
        let Totals {
            time_ns,
            provisioned,
            requested,
            used,
            container_starts,
            image_bytes,
        } = totals;
        Self([
            *time_ns,
            provisioned.milli_vcpu_ns,
            provisioned.memory_byte_ns,
            provisioned.storage_byte_ns,
            provisioned.gpu_ns,
            requested.milli_vcpu_ns,
            requested.memory_byte_ns,
            requested.storage_byte_ns,
            requested.gpu_ns,
            used.cpu_ns.into(),
            used.memory_byte_ns,
            used.block_read_bytes.into(),
            used.block_written_bytes.into(),
            used.network_received_bytes.into(),
            used.network_sent_bytes.into(),
            (*container_starts).into(),
            (*image_bytes).into(),
        ])
    }
}

impl Serialize for Quantities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(COUNT))?;
        for (name, sum) in NAMES.iter().zip(&self.0) {
            map.serialize_entry(name, sum)?;
        }
        map.end()
    }
}

#[cfg(test)]
#[path = "quantities_test.rs"]
mod tests;
