//! What the engine asks of a virtual machine, and QEMU behind it.
//!
//! The seam is small on purpose: a [`Hypervisor`] starts a [`Vm`] from a [`VmConfig`]; a VM takes
//! disks while it runs, can be paused, and tells once why it ended. Who makes the VM is hidden
//! behind it.
//!
//! A guest is hostile. Nothing that it does may fill a disk, a pipe or the memory of the process
//! that holds its [`Vm`]; every answer is waited for with a limit.
#![deny(unsafe_code)]

pub mod accelerator;
mod config;
mod console;
pub mod disk;
mod error;
mod process;
pub mod qemu;
pub mod qmp;
mod tsc;

use std::time::{Duration, Instant};

use async_trait::async_trait;

pub use accelerator::Accelerator;
pub use config::machine_memory_mib;
pub use config::{FitError, MAX_VCPUS, MIN_MEMORY_MIB, Tap, VmConfig, Vsock, check_fits};
pub use disk::{Disk, Extent, concatenate};
pub use error::Error;
pub use qemu::Qemu;

/// Makes virtual machines.
#[async_trait]
pub trait Hypervisor: Send + Sync {
    /// Starts a VM. It runs its kernel when this returns.
    ///
    /// The VM dies with the thread that this is awaited on, so call it from one that lives as
    /// long as the VM should (`PR_SET_PDEATHSIG` follows the thread, not the process).
    ///
    /// # Errors
    /// What is wrong with the configuration, the files that it names, or the monitor, in one line.
    async fn start(&self, config: VmConfig) -> Result<Box<dyn Vm>, Error>;
}

/// A virtual machine that was started. Dropping it kills it.
#[async_trait]
pub trait Vm: Send + Sync {
    /// The process identifier of the monitor on the host.
    fn pid(&self) -> u32;

    /// When the monitor's program began to run: what came before was this process's work.
    fn began(&self) -> Instant;

    /// Attaches a disk to the running VM. The guest finds it by its serial shortly after this
    /// returns.
    ///
    /// # Errors
    /// A disk that is refused (see [`disk::DiskError`]), no free slot, or a monitor that does not
    /// answer.
    async fn attach_disk(&self, disk: &Disk) -> Result<(), Error>;

    /// Takes a disk away again. The guest has to let go of it: it is asked, and given
    /// a few seconds.
    ///
    /// # Errors
    /// No such disk, or a guest that does not let go.
    async fn detach_disk(&self, serial: &str) -> Result<(), Error>;

    /// Changes the guest's memory to `mib` MiB, and waits for the guest to have what is more. What
    /// is less it gives back as it can.
    ///
    /// # Errors
    /// More than [`VmConfig::max_memory_mib`], a guest that does not take it, or a monitor that
    /// does not answer.
    async fn set_memory(&self, mib: u64) -> Result<(), Error>;

    /// Stops the virtual processors.
    ///
    /// # Errors
    /// A monitor that does not answer.
    async fn pause(&self) -> Result<(), Error>;

    /// Lets the virtual processors run again.
    ///
    /// # Errors
    /// A monitor that does not answer.
    async fn resume(&self) -> Result<(), Error>;

    /// Presses the power button, waits for the guest to power off for at most `grace`, then kills.
    async fn stop(&self, grace: Duration) -> VmExit;

    /// Kills the monitor at once, and waits until it is gone.
    async fn kill(&self) -> VmExit;

    /// Waits for the end. May be called any number of times, by several at once, and cancelled.
    async fn wait(&self) -> VmExit;
}

/// How a VM ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmExit {
    /// What ended it.
    pub reason: ExitReason,
    /// The last line that the guest wrote to its console, when it says more than the reason does.
    pub last_line: Option<String>,
}

/// What ended a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitReason {
    /// The guest powered itself off.
    PoweredOff,
    /// The guest asked for a reset. A VM is never restarted, so this is its end.
    Reset,
    /// The guest's kernel panicked.
    Panicked,
    /// It was killed through [`Vm::kill`], or by [`Vm::stop`] after its grace.
    Killed,
    /// The monitor itself ended in another way; the text says how, in one line.
    Crashed(String),
}

impl std::fmt::Display for VmExit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.reason {
            ExitReason::PoweredOff => write!(f, "the guest powered off")?,
            ExitReason::Reset => write!(f, "the guest reset itself")?,
            ExitReason::Panicked => write!(f, "the guest's kernel panicked")?,
            ExitReason::Killed => write!(f, "the VM was killed")?,
            ExitReason::Crashed(how) => write!(f, "the VM monitor {how}")?,
        }
        match &self.last_line {
            Some(line) => write!(f, " (last on its console: {line})"),
            None => Ok(()),
        }
    }
}
