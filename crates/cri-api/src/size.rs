//! How large a guest a sandbox's configuration asks for: whoever plans a Pod and whoever makes its
//! VM have to come to the same.

use crate::annotations;
use crate::quantity::Quantity;
use crate::runtime::PodSandboxConfig;

/// CPUs of a guest whose Pod has no CPU limit.
pub const DEFAULT_VCPUS: u32 = 1;
/// Memory of a guest whose Pod has no memory limit, in MiB; also added once for all containers
/// without a limit beside containers with one.
pub const DEFAULT_MEMORY_MIB: u64 = 512;
/// Ephemeral storage of a Pod without a limit of it, in bytes; holes until written.
pub const DEFAULT_STORAGE_BYTES: u64 = 10 << 30;

/// What kernel and agent take of the guest's memory beside the containers, in MiB.
pub const GUEST_RESERVE_MIB: u64 = 48;

/// What a Pod may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory for its containers, in MiB.
    pub memory_mib: u64,
}

/// An annotation that gives no size.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum SizeError {
    /// [`annotations::VCPUS`] is no number of CPUs.
    #[error("{0:?} is not a whole number of CPUs, 1 at least")]
    Vcpus(String),
    /// [`annotations::MEMORY`] is no amount of memory.
    #[error("{0:?} is not an amount of memory as 512Mi")]
    Memory(String),
}

impl Size {
    /// The size that a sandbox's configuration asks for, whoever wrote it: the annotations
    /// [`annotations::VCPUS`] and [`annotations::MEMORY`], else the quota and the limit of
    /// `linux.resources`, rounded up, else [`DEFAULT_VCPUS`] and [`DEFAULT_MEMORY_MIB`].
    ///
    /// # Errors
    /// If an annotation is there and gives no size.
    pub fn of_sandbox(config: &PodSandboxConfig) -> Result<Self, SizeError> {
        let resources = &config.linux.resources;
        let by_quota = || match (resources.cpu_quota, cpu_period_us(config)) {
            // Both are positive, so this rounds up.
            (quota @ 1.., period) => u32::try_from((quota - 1) / period + 1).unwrap_or(u32::MAX),
            _ => DEFAULT_VCPUS,
        };
        let by_limit = || match u64::try_from(resources.memory_limit_in_bytes) {
            Ok(bytes) if bytes > 0 => bytes.div_ceil(1 << 20),
            _ => DEFAULT_MEMORY_MIB,
        };
        let said = |key| config.annotations.get(key);
        Ok(Self {
            vcpus: match said(annotations::VCPUS) {
                Some(text) => vcpus(text)?,
                None => by_quota(),
            },
            memory_mib: match said(annotations::MEMORY) {
                Some(text) => memory_mib(text)?,
                None => by_limit(),
            },
        })
    }

    /// The guest's memory in MiB: that of the containers and [`GUEST_RESERVE_MIB`].
    #[must_use]
    pub fn guest_memory_mib(&self) -> u64 {
        self.memory_mib.saturating_add(GUEST_RESERVE_MIB)
    }

    /// Whether an annotation gives a size; others are none of ours.
    ///
    /// # Errors
    /// If it should and does not.
    pub fn check_annotation(key: &str, value: &str) -> Result<(), SizeError> {
        match key {
            annotations::VCPUS => vcpus(value).map(drop),
            annotations::MEMORY => memory_mib(value).map(drop),
            _ => Ok(()),
        }
    }
}

/// The period that a sandbox's CPU quota is of, in microseconds: the kernel's own if it says none.
#[must_use]
pub fn cpu_period_us(config: &PodSandboxConfig) -> i64 {
    match config.linux.resources.cpu_period {
        period @ 1.. => period,
        _ => 100_000,
    }
}

fn vcpus(text: &str) -> Result<u32, SizeError> {
    let vcpus = text.parse().ok().filter(|n| *n > 0);
    vcpus.ok_or_else(|| SizeError::Vcpus(text.to_owned()))
}

fn memory_mib(text: &str) -> Result<u64, SizeError> {
    let quantity = Quantity::parse(text).ok();
    let bytes = quantity.and_then(|q| u64::try_from(q.ceil()).ok());
    match bytes {
        Some(bytes) if bytes > 0 => Ok(bytes.div_ceil(1 << 20)),
        _ => Err(SizeError::Memory(text.to_owned())),
    }
}

#[cfg(test)]
#[path = "size_test.rs"]
mod tests;
