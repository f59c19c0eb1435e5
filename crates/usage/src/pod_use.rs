//! One Pod's use, as the journal tells it and as price lists charge it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Who a Pod is. Its UID is its only key: names are used again, by other tenants too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// The API server's UID, or the one that `skete run` gave.
    pub uid: String,
    /// Its name in its Namespace.
    pub name: String,
    /// The Namespace's name.
    pub namespace: String,
    /// The Namespace's UID, where it is known: a Namespace that was deleted and made again is
    /// another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_uid: Option<String>,
    /// The Pod's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What made the Pod, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<Controller>,
    /// The node's name.
    pub node: String,
    /// The guest's architecture, as OCI images name it: `amd64`, `arm64`.
    pub architecture: String,
    /// The RuntimeClass, or `skete`.
    pub runtime: String,
    /// What an administrator, and no tenant, said for the bill: `spot` and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The controller of a Pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Controller {
    /// `ReplicaSet`, `Job`, …
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// An amount of each thing that a Pod has, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Size {
    /// Thousandths of a vCPU.
    pub milli_vcpus: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of ephemeral storage.
    pub storage_bytes: u64,
    /// Whole GPUs.
    pub gpus: u64,
}

/// A stretch of time in which nothing of a Pod's size changed. Spans of one Pod follow each other
/// in time and never overlap; between them the Pod was paused or did not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// Where it begins, in nanoseconds since the Unix epoch, leap seconds not counted.
    pub start_ns: i64,
    /// Where it ends, exclusive. Its length was measured by the monotonic clock.
    pub end_ns: i64,
    /// What the Pod had: what its VM was made with.
    pub provisioned: Size,
    /// What the Pod asked for, by the scheduler's rule; zero where it named nothing.
    pub requested: Size,
    /// What it may use at most; zero where it named nothing.
    pub limits: Size,
    /// What was used in it, as the host saw it.
    pub used: Used,
}

/// What was used in a span, as the host saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Used {
    /// CPU time of the VM, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory in use times time, in byte-nanoseconds.
    pub memory_byte_ns: u128,
    /// Bytes read from disks.
    pub block_read_bytes: u64,
    /// Bytes written to disks.
    pub block_written_bytes: u64,
    /// Bytes that the Pod received.
    pub network_received_bytes: u64,
    /// Bytes that the Pod sent.
    pub network_sent_bytes: u64,
}

/// How a Pod's time came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ended {
    /// It has not: what there is counts up to the last heartbeat.
    Running,
    /// The end was seen: exact.
    Seen,
    /// The engine was killed: bounded by the last heartbeat and what the node knew.
    Bounded,
}

/// All that is known of one Pod's use: what a price list is applied to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodUse {
    /// Who it was.
    pub pod: Pod,
    /// Its time, in order.
    pub spans: Vec<Span>,
    /// How often a container of it was started.
    pub container_starts: u64,
    /// Compressed bytes of the images that were downloaded for it.
    pub image_bytes: u64,
    /// How its last span ended.
    pub ended: Ended,
}
