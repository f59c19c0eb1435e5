//! How large a Pod's VM is. It follows the Pod's limits: whole vCPUs, rounded up; the guest's
//! memory is the limit plus what kernel and agent need, so that a container can use what it was
//! given; and the host's cgroup holds that plus the monitor and its helpers.

use skete_cri_api::annotations;
use skete_cri_api::runtime::PodSandboxConfig;
use skete_hypervisor::Accelerator;

use crate::cgroup::Limits;
use crate::scratch;

/// vCPUs of a Pod without a CPU limit.
pub const DEFAULT_VCPUS: u32 = 1;
/// Memory limit of a Pod that has none, in MiB.
pub const DEFAULT_MEMORY_MIB: u64 = 512;
/// What kernel and agent take of the guest's memory, in MiB.
pub const GUEST_RESERVE_MIB: u64 = 48;
/// The most vCPUs of one VM.
pub const MAX_VCPUS: u32 = 64;

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

/// A Pod that is too large.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SizeError {
    /// More memory than the machine has.
    #[error(
        "the Pod needs {needed_mib} MiB with its VM, and this machine has {machine_mib} MiB: \
         lower its memory limit"
    )]
    TooMuchMemory {
        /// Guest and overhead.
        needed_mib: u64,
        /// `MemTotal`.
        machine_mib: u64,
    },
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
    /// More CPUs than a VM can have.
    #[error("the Pod's CPU limit needs {0} vCPUs; a VM has at most {MAX_VCPUS}")]
    TooManyVcpus(u64),
    /// An annotation of ours that is no number.
    #[error("annotation {annotation}: `{value}` is not {wanted}")]
    BadAnnotation {
        /// Its key.
        annotation: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
}

impl Size {
    /// From what the kubelet (or `skete`) says of the Pod.
    ///
    /// # Errors
    /// If no VM can be so large, or an annotation is no number.
    pub fn of_pod(config: &PodSandboxConfig) -> Result<Self, SizeError> {
        let resources = &config.linux.resources;
        let positive = |value: i64| u64::try_from(value).unwrap_or(0);
        let cpu_quota_us = positive(resources.cpu_quota);
        let cpu_period_us = match positive(resources.cpu_period) {
            0 => 100_000,
            period => period,
        };
        let overhead = &config.linux.overhead;
        let overhead_quota_us = match positive(overhead.cpu_period) {
            0 => 0,
            period => positive(overhead.cpu_quota) * cpu_period_us / period,
        };
        let annotation = |annotation, parse: fn(&str) -> Option<u64>, wanted| {
            let Some(value) = config.annotations.get(annotation) else {
                return Ok(None);
            };
            parse(value)
                .filter(|number| *number > 0)
                .map(Some)
                .ok_or_else(|| SizeError::BadAnnotation {
                    annotation,
                    value: value.clone(),
                    wanted,
                })
        };
        let number = |text: &str| text.parse().ok();
        let wanted = match cpu_quota_us.div_ceil(cpu_period_us) {
            0 => u64::from(DEFAULT_VCPUS),
            vcpus => vcpus,
        };
        let wanted = annotation(annotations::VCPUS, number, "a whole number")?.unwrap_or(wanted);
        let vcpus = u32::try_from(wanted)
            .ok()
            .filter(|vcpus| *vcpus <= MAX_VCPUS)
            .ok_or(SizeError::TooManyVcpus(wanted))?;
        let limit_mib = match positive(resources.memory_limit_in_bytes) {
            0 => DEFAULT_MEMORY_MIB,
            bytes => bytes.div_ceil(1 << 20),
        };
        let limit_mib =
            annotation(annotations::MEMORY, mebibytes, "an amount as 512Mi")?.unwrap_or(limit_mib);
        let scratch_bytes =
            annotation(annotations::EPHEMERAL_STORAGE, number, "a number of bytes")?
                .unwrap_or(scratch::DEFAULT_BYTES);
        let memory_mib = limit_mib + GUEST_RESERVE_MIB;
        Ok(Self {
            vcpus,
            memory_mib,
            scratch_bytes,
            cpu_quota_us,
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

    /// Whether a machine of `machine_mib` can hold it, and cgroups that allow `room_mib`.
    ///
    /// # Errors
    /// If not.
    pub fn check_fits(
        &self,
        overhead_mib: u64,
        machine_mib: u64,
        room_mib: Option<u64>,
    ) -> Result<(), SizeError> {
        let needed_mib = self.memory_mib + overhead_mib;
        if let Some(room_mib) = room_mib.filter(|room_mib| needed_mib > *room_mib) {
            return Err(SizeError::NoRoom {
                needed_mib,
                room_mib,
                overhead_mib: overhead_mib + GUEST_RESERVE_MIB,
            });
        }
        if needed_mib > machine_mib {
            return Err(SizeError::TooMuchMemory {
                needed_mib,
                machine_mib,
            });
        }
        Ok(())
    }
}

/// What monitor, vsock device and shim need beside the guest's memory, in MiB. An emulator keeps
/// the code that it has translated, and the tables to find it by.
#[must_use]
pub fn overhead_mib(accelerator: Accelerator) -> u64 {
    match accelerator {
        Accelerator::Kvm => 96,
        Accelerator::Emulation => 256,
    }
}

/// `512Mi` or `2Gi`, in MiB.
fn mebibytes(text: &str) -> Option<u64> {
    match text.strip_suffix("Gi") {
        Some(gibibytes) => gibibytes.parse::<u64>().ok()?.checked_mul(1024),
        None => text.strip_suffix("Mi")?.parse().ok(),
    }
}

#[cfg(test)]
#[path = "size_test.rs"]
mod tests;
