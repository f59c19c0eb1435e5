//! What a price list's file says, table by table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skete_usage::Pod;

use crate::decimal::Decimal;
use crate::values::{Amount, Date, Day, Hours, Length, Percent};

/// Nanoseconds of a second.
pub(crate) const SECOND: u128 = 1_000_000_000;

/// How time is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Clock {
    /// A Pod's time is rounded up to a multiple of this. Not given: it is charged to the
    /// nanosecond.
    pub step: Length,
    /// A Pod is charged for so long at least.
    pub minimum: Length,
}

/// Which amounts are charged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// What the Pod's VM was made with.
    #[default]
    Provisioned,
    /// What the Pod requested.
    Requested,
    /// What the Pod used.
    Used,
    /// What the Pod requested or used, whichever was more.
    Max,
}

/// The size for which a Pod is charged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SizeRule {
    /// Which amounts are charged.
    pub basis: Basis,
    /// In place of amounts that a Pod does not name.
    pub default: Amounts,
    /// Added to each Pod.
    pub overhead: Amounts,
    /// What a Pod is charged for at least.
    pub minimum: Amounts,
    /// Amounts are rounded up to a multiple of these.
    pub step: Amounts,
    /// How much memory goes with a vCPU.
    pub memory_per_vcpu: Option<Ratio>,
    /// A Pod is charged for the first of these that holds it: least vCPUs, then least memory.
    pub configurations: Vec<Configuration>,
    /// What happens to a Pod that no configuration holds.
    pub beyond: Beyond,
}

/// Amounts of what a Pod has; what is not given is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Amounts {
    /// vCPUs.
    pub vcpus: Amount,
    /// Bytes of memory.
    pub memory: Amount,
    /// Bytes of storage.
    pub storage: Amount,
}

/// Bounds of the memory that goes with one vCPU: memory is raised to the least, vCPUs so that it
/// is no more than the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ratio {
    /// Least memory.
    pub least: Amount,
    /// Most memory.
    pub most: Amount,
}

/// Sizes of one number of vCPUs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Configuration {
    /// The vCPUs.
    pub vcpus: Amount,
    /// The memory that they come with.
    pub memory: Memory,
}

/// Amounts of memory: each named, or in steps.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(
    untagged,
    expecting = "expected amounts of memory, as [\"1Gi\", \"2Gi\"] or { from = \"1Gi\", to = \"4Gi\", step = \"1Gi\" }"
)]
pub enum Memory {
    /// Each named.
    Each(Vec<Amount>),
    /// From, to, in steps of.
    #[serde(rename_all = "kebab-case")]
    Steps {
        /// The least.
        from: Amount,
        /// The most.
        to: Amount,
        /// From one to the next.
        step: Amount,
    },
}

/// What happens to a Pod that no configuration holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Beyond {
    /// It cannot be charged: an error.
    #[default]
    Refuse,
    /// It is charged for its own size.
    Exact,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Meter {
    /// vCPUs times time.
    Vcpu,
    /// Memory times time.
    Memory,
    /// Ephemeral storage times time.
    Storage,
    /// GPUs times time.
    Gpu,
    /// Bytes received.
    NetworkReceived,
    /// Bytes sent.
    NetworkSent,
    /// Pods, each once, at its beginning.
    Pod,
    /// Starts of containers, at the Pod's beginning.
    ContainerStart,
    /// Bytes of images downloaded, at the Pod's beginning.
    Image,
}

impl Meter {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Vcpu,
        Self::Memory,
        Self::Storage,
        Self::Gpu,
        Self::NetworkReceived,
        Self::NetworkSent,
        Self::Pod,
        Self::ContainerStart,
        Self::Image,
    ];

    /// Whether amounts are charged for a time.
    #[must_use]
    pub fn is_timed(self) -> bool {
        matches!(self, Self::Vcpu | Self::Memory | Self::Storage | Self::Gpu)
    }

    /// Whether it counts bytes.
    #[must_use]
    pub fn is_bytes(self) -> bool {
        matches!(
            self,
            Self::Memory | Self::Storage | Self::NetworkReceived | Self::NetworkSent | Self::Image
        )
    }

    /// Its name in price lists.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Vcpu => "vcpu",
            Self::Memory => "memory",
            Self::Storage => "storage",
            Self::Gpu => "gpu",
            Self::NetworkReceived => "network-received",
            Self::NetworkSent => "network-sent",
            Self::Pod => "pod",
            Self::ContainerStart => "container-start",
            Self::Image => "image",
        }
    }
}

/// The price of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rate {
    /// What it is called on the invoice.
    pub sku: String,
    /// What is counted.
    pub meter: Meter,
    /// The price of one unit: a vCPU, a GPU, a Pod, a start, or a GiB; for a time where the meter
    /// has one.
    pub price: Option<Decimal>,
    /// Prices by the quantity of a bill, in place of one price.
    #[serde(default)]
    pub tiers: Vec<Tier>,
    /// The time for which the price is.
    pub per: Option<Per>,
    /// The unit of bytes; GiB where it is not given.
    pub unit: Option<ByteUnit>,
    /// What is free of each Pod's size at every moment.
    pub included: Option<Amount>,
    /// The Pods that it is for; not given: all.
    #[serde(default, rename = "match")]
    pub selector: Selector,
}

/// A price up to a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tier {
    /// The quantity at which the next tier begins, in the rate's unit; not given in the last.
    pub up_to: Option<Decimal>,
    /// The price within the tier.
    pub price: Decimal,
}

/// The time for which a price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Per {
    /// A second.
    Second,
    /// An hour.
    Hour,
}

/// A unit of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum ByteUnit {
    /// 2³⁰ bytes.
    GiB,
    /// 10⁹ bytes.
    GB,
}

impl Rate {
    /// Base units in a unit that is priced; time counts in hours whatever the price is for.
    /// Base units are thousandths of a vCPU, bytes, GPUs or pieces, times nanoseconds where the
    /// meter is of a time.
    #[must_use]
    pub fn unit_size(&self) -> u128 {
        let amount = match self.meter {
            Meter::Vcpu => 1000,
            meter if meter.is_bytes() => match self.unit {
                Some(ByteUnit::GB) => SECOND, // a billion, as it happens
                Some(ByteUnit::GiB) | None => 1 << 30,
            },
            _ => 1,
        };
        let hour = if self.meter.is_timed() {
            3600 * SECOND
        } else {
            1
        };
        amount * hour
    }

    /// Prices for this many units of the file are one unit of [`unit_size`](Self::unit_size).
    #[must_use]
    pub fn per_unit(&self) -> u32 {
        match self.per {
            Some(Per::Second) => 3600,
            Some(Per::Hour) | None => 1,
        }
    }

    /// The name of the unit that is priced, as FOCUS writes units.
    #[must_use]
    pub fn unit_name(&self) -> &'static str {
        let gb = self.unit == Some(ByteUnit::GB);
        match self.meter {
            Meter::Vcpu => "vCPU-Hours",
            Meter::Memory | Meter::Storage if gb => "GB-Hours",
            Meter::Memory | Meter::Storage => "GiB-Hours",
            Meter::Gpu => "GPU-Hours",
            Meter::NetworkReceived | Meter::NetworkSent | Meter::Image if gb => "GB",
            Meter::NetworkReceived | Meter::NetworkSent | Meter::Image => "GiB",
            Meter::Pod => "Pods",
            Meter::ContainerStart => "Starts",
        }
    }

    /// What is included, in base units.
    pub(crate) fn included_units(&self) -> u64 {
        match (self.included, self.meter) {
            (None, _) => 0,
            (Some(amount), Meter::Vcpu) => amount.thousandths(),
            (Some(amount), _) => amount.whole(),
        }
    }
}

/// Which Pods something is for: all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Selector {
    /// The guest's architecture: `amd64`, `arm64`.
    pub architecture: Option<String>,
    /// The RuntimeClass.
    pub runtime: Option<String>,
    /// The tenant, by the name of its Namespace.
    pub namespace: Option<String>,
    /// Labels, which tenants set.
    pub labels: BTreeMap<String, String>,
    /// Annotations for the bill, which an administrator set.
    pub annotations: BTreeMap<String, String>,
}

impl Selector {
    /// Whether it is for this Pod.
    #[must_use]
    pub fn holds(&self, pod: &Pod) -> bool {
        let is = |want: &Option<String>, have: &str| want.as_ref().is_none_or(|want| want == have);
        let has = |want: &BTreeMap<String, String>, have: &BTreeMap<String, String>| {
            want.iter().all(|(key, value)| have.get(key) == Some(value))
        };
        is(&self.architecture, &pod.architecture)
            && is(&self.runtime, &pod.runtime)
            && is(&self.namespace, &pod.namespace)
            && has(&self.labels, &pod.labels)
            && has(&self.annotations, &pod.annotations)
    }

    /// Whether it is for all Pods.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }
}

/// Less to pay for some Pods at some times. Of several that hold, the first counts alone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Discount {
    /// What it is called on the invoice.
    pub name: String,
    /// How much less.
    pub percent: Percent,
    /// The Pods that it is for; not given: all.
    #[serde(default, rename = "match")]
    pub selector: Selector,
    /// The meters that it is for; not given: all.
    #[serde(default)]
    pub meters: Vec<Meter>,
    /// Its first day or moment.
    pub from: Option<Date>,
    /// Where it ends, exclusive.
    pub until: Option<Date>,
    /// Days of the week, in the list's time zone; not given: all.
    #[serde(default)]
    pub days: Vec<Day>,
    /// Hours of these days; not given: all.
    pub hours: Option<Hours>,
}

impl Discount {
    /// Whether it is for this meter.
    pub(crate) fn is_for(&self, meter: Meter) -> bool {
        self.meters.is_empty() || self.meters.contains(&meter)
    }
}
