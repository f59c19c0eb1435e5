//! How large a Pod's VM is. It follows the Pod's limits: whole vCPUs, rounded up; the guest's
//! memory is the limit plus what kernel and agent need, so that a container can use what it was
//! given; and the host's cgroup holds that plus the monitor and its helpers.

use skete_cri_api::runtime::PodSandboxConfig;
use skete_cri_api::{annotations, cpu_period_us};

use crate::cgroup::Limits;
use crate::scratch;

/// What a VM is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Whole CPUs of the guest.
    pub vcpus: u32,
    /// The guest's memory in MiB, [`skete_cri_api::GUEST_RESERVE_MIB`] included.
    pub memory_mib: u64,
    /// The scratch disk in bytes.
    pub scratch_bytes: u64,
    /// Microseconds of CPU time per period of the Pod's limit; 0: no limit.
    cpu_quota_us: u64,
    cpu_period_us: u64,
}

/// A Pod that says no size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SizeError {
    /// Its CPUs or its memory.
    #[error("the Pod's annotations")]
    Pod(#[from] skete_cri_api::SizeError),
    /// Its scratch disk.
    #[error(
        "annotation {}: {value:?} is not a number of bytes",
        annotations::EPHEMERAL_STORAGE
    )]
    Scratch {
        /// What it says.
        value: String,
    },
}

impl Size {
    /// From what the kubelet (or `skete`) says of the Pod.
    ///
    /// # Errors
    /// If an annotation is no number.
    pub fn of_pod(config: &PodSandboxConfig) -> Result<Self, SizeError> {
        let pod = skete_cri_api::Size::of_sandbox(config)?;
        let positive = |value: i64| u64::try_from(value).unwrap_or(0);
        let scratch_bytes = match config.annotations.get(annotations::EPHEMERAL_STORAGE) {
            None => scratch::DEFAULT_BYTES,
            Some(text) => text
                .parse()
                .ok()
                .filter(|bytes| *bytes > 0)
                .ok_or_else(|| SizeError::Scratch {
                    value: text.clone(),
                })?,
        };
        Ok(Self {
            vcpus: pod.vcpus,
            memory_mib: pod.guest_memory_mib(),
            scratch_bytes,
            cpu_quota_us: positive(config.linux.resources.cpu_quota),
            cpu_period_us: positive(cpu_period_us(config)),
        })
    }

    /// What the Pod may use of the host, `overhead_mib` being what the monitor and its helpers
    /// need beside the guest's memory.
    #[must_use]
    pub fn limits(&self, overhead_mib: u64) -> Limits {
        Limits {
            memory_bytes: (self.memory_mib + overhead_mib) << 20,
            cpu_quota_us: self.cpu_quota_us,
            cpu_period_us: self.cpu_period_us,
            pids: 512 + 4 * u64::from(self.vcpus),
        }
    }
}

#[cfg(test)]
#[path = "size_test.rs"]
mod tests;
