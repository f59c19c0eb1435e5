//! How large a Pod's VM is. It follows the Pod's limits: whole vCPUs, rounded up; the guest's
//! memory is the limit plus what kernel and agent need, so that a container can use what it was
//! given; and the host's cgroup holds that plus the monitor and its helpers.

use skete_cri_api::runtime::PodSandboxConfig;
use skete_cri_api::{DEFAULT_STORAGE_BYTES, GUEST_RESERVE_MIB, annotations, cpu_period_us};

use crate::cgroup::Limits;

/// What a VM is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Whole CPUs of the guest.
    pub vcpus: u32,
    /// The guest's memory in MiB, [`GUEST_RESERVE_MIB`] included.
    pub memory_mib: u64,
    /// The scratch disk in bytes.
    pub scratch_bytes: u64,
    /// Microseconds of CPU time per period: the Pod's limit, 0 for none, and what its RuntimeClass
    /// grants beside it.
    cpu_quota_us: u64,
    overhead_quota_us: u64,
    cpu_period_us: u64,
}

/// A Pod that says no size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SizeError {
    /// Its CPUs or its memory.
    #[error("the Pod's annotations")]
    Pod(#[from] skete_cri_api::SizeError),
    /// More memory than the cgroups above allow.
    #[error(
        "the Pod needs {needed_mib} MiB with its VM, and its cgroup allows {room_mib} MiB: let its \
         RuntimeClass have an overhead.podFixed.memory of {overhead_mib}Mi or more"
    )]
    NoRoom {
        /// Guest and overhead.
        needed_mib: u64,
        /// What is allowed.
        room_mib: u64,
        /// What is needed beside the containers' limits.
        overhead_mib: u64,
    },
    /// More CPUs than the running VM has.
    #[error(
        "the containers' limits would come to {wanted} CPUs, and the Pod's VM has {vcpus}: a Pod \
         that is started anew gets them"
    )]
    VcpusFixed {
        /// What it has.
        vcpus: u32,
        /// What they come to.
        wanted: u64,
    },
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
            None => DEFAULT_STORAGE_BYTES,
            Some(text) => text
                .parse()
                .ok()
                .filter(|bytes| *bytes > 0)
                .ok_or_else(|| SizeError::Scratch {
                    value: text.clone(),
                })?,
        };
        let cpu_period_us = positive(cpu_period_us(config));
        let overhead = &config.linux.overhead;
        let overhead_quota_us = match positive(overhead.cpu_period) {
            0 => 0,
            period => positive(overhead.cpu_quota) * cpu_period_us / period,
        };
        Ok(Self {
            vcpus: pod.vcpus,
            memory_mib: pod.guest_memory_mib(),
            scratch_bytes,
            cpu_quota_us: positive(config.linux.resources.cpu_quota),
            overhead_quota_us,
            cpu_period_us,
        })
    }

    /// The same with another memory of the guest.
    #[must_use]
    pub fn with_memory(self, memory_mib: u64) -> Self {
        Self { memory_mib, ..self }
    }

    /// What the Pod may use of the host, `overhead_mib` being what the monitor and its helpers
    /// need beside the guest's memory.
    #[must_use]
    pub fn limits(&self, overhead_mib: u64) -> Limits {
        Limits {
            memory_bytes: (self.memory_mib + overhead_mib) << 20,
            cpu_quota_us: match self.cpu_quota_us {
                0 => 0,
                quota => quota + self.overhead_quota_us,
            },
            cpu_period_us: self.cpu_period_us,
            pids: 512 + 4 * u64::from(self.vcpus),
        }
    }

    /// The same when the containers may use `cpu` thousandths of a CPU; without a number, all that
    /// there is.
    #[must_use]
    pub fn limits_with(&self, overhead_mib: u64, cpu: Option<u64>) -> Limits {
        let quota = |cpu| self.overhead_quota_us + self.cpu_period_us * cpu / 1000;
        Limits {
            cpu_quota_us: cpu.map_or(0, quota),
            ..self.limits(overhead_mib)
        }
    }

    /// Whether cgroups that allow `room_bytes` can hold it.
    ///
    /// # Errors
    /// If not.
    pub fn check_room(&self, overhead_mib: u64, room_bytes: Option<u64>) -> Result<(), SizeError> {
        let needed_mib = self.memory_mib + overhead_mib;
        match room_bytes.map(|bytes| bytes >> 20) {
            Some(room_mib) if needed_mib > room_mib => Err(SizeError::NoRoom {
                needed_mib,
                room_mib,
                overhead_mib: overhead_mib + GUEST_RESERVE_MIB,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
#[path = "size_test.rs"]
mod tests;
