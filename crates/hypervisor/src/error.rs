//! What can go wrong between the engine and a VM.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{MAX_VCPUS, MIN_MEMORY_MIB};
use crate::disk::DiskError;
use crate::qmp::QmpError;

/// Why a VM could not be started, or did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The VM's name has characters that are not allowed, or too many.
    #[error("a VM cannot be named {0:?}")]
    Id(String),
    /// More or fewer virtual processors than a guest can have.
    #[error("a VM has 1 to {MAX_VCPUS} CPUs, not {asked}")]
    Vcpus {
        /// What was asked for.
        asked: u32,
    },
    /// Less memory than a guest can start in.
    #[error("a VM needs at least {MIN_MEMORY_MIB} MiB of memory, not {asked}")]
    MemoryTooSmall {
        /// What was asked for, in MiB.
        asked: u64,
    },
    /// More memory than the machine has.
    #[error("a VM of {asked} MiB of memory does not fit: this machine has {machine} MiB")]
    MemoryTooLarge {
        /// What was asked for, in MiB.
        asked: u64,
        /// What the machine has, in MiB.
        machine: u64,
    },
    /// Memory that a guest was given and does not use.
    #[error("the guest did not take memory up to {asked} MiB")]
    MemoryNotTaken {
        /// What was asked for, in MiB.
        asked: u64,
    },
    /// More memory than a VM was started to take.
    #[error("the VM's memory cannot be raised to {asked} MiB: it was started to take {most} MiB")]
    MemoryFixed {
        /// What was asked for, in MiB.
        asked: u64,
        /// The most, in MiB.
        most: u64,
    },
    /// A word for the kernel's command line that would not arrive as it is.
    #[error("{0:?} cannot be passed on a kernel command line")]
    CommandLine(String),
    /// A file of the VM cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What should be the guest's kernel is something else.
    #[error("{} is not a kernel: it is no ELF file", .0.display())]
    NotAKernel(PathBuf),
    /// A disk is refused.
    #[error("the disk is refused")]
    Disk(#[from] DiskError),
    /// The VM has a disk of this serial already.
    #[error("the VM already has a disk {0:?}")]
    DiskExists(String),
    /// The VM has no disk of this serial.
    #[error("the VM has no disk {0:?}")]
    NoDisk(String),
    /// Every slot for a device is taken.
    #[error("the VM has no room for one more disk")]
    NoSlot,
    /// The guest was asked to let go of a disk and did not.
    #[error("the guest did not let go of disk {serial:?} within {} s", limit.as_secs())]
    DetachTimeout {
        /// Which disk.
        serial: String,
        /// How long it had.
        limit: Duration,
    },
    /// The monitor's program cannot be started.
    #[error("cannot start {}", program.display())]
    Spawn {
        /// Which program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The monitor ended before it took its first command; the text is what it said.
    #[error("the VM did not start: {0}")]
    Start(String),
    /// A socket, pipe or process of the host cannot be had.
    #[error("cannot {what}")]
    Host {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// The monitor did not do what it was told.
    #[error("the VM monitor did not {what}")]
    Monitor {
        /// What it was told.
        what: &'static str,
        /// Why not.
        source: QmpError,
    },
    /// The VM has ended.
    #[error("the VM has ended: {0}")]
    Ended(String),
}
