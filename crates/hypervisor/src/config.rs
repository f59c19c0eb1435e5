//! What a VM is made of.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::{Accelerator, Disk, Error};

/// The most virtual processors that a guest can have (`CONFIG_NR_CPUS` of its kernel).
pub const MAX_VCPUS: u32 = 64;

/// A VM that this machine cannot hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FitError {
    /// More memory than the machine has.
    #[error(
        "the Pod needs {needed_mib} MiB with its VM, and this machine has {machine_mib} MiB: \
         lower its memory limit"
    )]
    Memory {
        /// Guest and overhead.
        needed_mib: u64,
        /// What the machine has.
        machine_mib: u64,
    },
    /// More CPUs than a guest can have.
    #[error("the Pod needs {0} vCPUs, and a VM has at most {MAX_VCPUS}: lower its CPU limit")]
    Vcpus(u32),
}

/// Whether this machine can hold a VM, with what its monitor needs beside the guest.
///
/// # Errors
/// If not.
pub fn check_fits(vcpus: u32, memory_mib: u64, accelerator: Accelerator) -> Result<(), FitError> {
    if vcpus > MAX_VCPUS {
        return Err(FitError::Vcpus(vcpus));
    }
    let needed_mib = memory_mib.saturating_add(accelerator.overhead_mib());
    let machine_mib = machine_memory_mib();
    if needed_mib > machine_mib {
        return Err(FitError::Memory {
            needed_mib,
            machine_mib,
        });
    }
    Ok(())
}

/// The least memory that the guest's kernel starts in, in MiB.
pub const MIN_MEMORY_MIB: u64 = 32;

/// In what pieces memory comes to a running guest, in MiB: huge pages of x86.
pub(crate) const MEMORY_BLOCK_MIB: u64 = 2;

/// What a VM is made of.
#[derive(Debug)]
pub struct VmConfig {
    /// Names the VM in the host's process list; letters, digits, `-`, `_` and `.`.
    pub id: String,
    /// The guest's kernel: an uncompressed ELF file with a PVH entry.
    pub kernel: PathBuf,
    /// The initial file system, an uncompressed cpio archive in the `newc` format.
    pub initramfs: PathBuf,
    /// Words appended to the kernel's command line.
    pub cmdline: Vec<String>,
    /// Virtual processors, 1 to [`MAX_VCPUS`].
    pub vcpus: u32,
    /// Memory in MiB, from [`MIN_MEMORY_MIB`] up to what the machine has.
    pub memory_mib: u64,
    /// What [`Vm::set_memory`] may raise it to, in MiB; with no more than `memory_mib` it stays.
    ///
    /// [`Vm::set_memory`]: crate::Vm::set_memory
    pub max_memory_mib: u64,
    /// Network interfaces, in the order in which the guest sees them.
    pub taps: Vec<Tap>,
    /// The other end of the guest's vsock device: a vhost-user backend.
    pub vsock: Option<Vsock>,
    /// Disks that are there from the start.
    pub disks: Vec<Disk>,
    /// Where the guest's console is kept: at most [`CONSOLE_LIMIT`] bytes, the newest, in this
    /// file and one beside it with `.1` appended.
    ///
    /// [`CONSOLE_LIMIT`]: crate::qemu::CONSOLE_LIMIT
    pub console: PathBuf,
    /// A directory of this VM alone, for files that live as long as it does. It must exist; who
    /// made it removes it.
    pub run_dir: PathBuf,
    /// What runs the guest's instructions.
    pub accelerator: Accelerator,
}

/// A network interface of the VM, behind a tap device of the host.
#[derive(Debug)]
pub struct Tap {
    /// A queue of the tap device (`TUNSETIFF` done, with `IFF_VNET_HDR`).
    pub fd: OwnedFd,
    /// The hardware address that the guest sees.
    pub mac: [u8; 6],
}

/// Where the vhost-user backend of the vsock device is.
#[derive(Debug)]
pub enum Vsock {
    /// A Unix socket on which it listens.
    Socket(PathBuf),
    /// A Unix socket that is already connected to it.
    Connected(OwnedFd),
}

impl VmConfig {
    /// How much memory may come to the first, in MiB: whole pieces of [`MEMORY_BLOCK_MIB`].
    #[must_use]
    pub(crate) fn more_memory_mib(&self) -> u64 {
        let more = self.max_memory_mib.saturating_sub(self.memory_mib);
        more - more % MEMORY_BLOCK_MIB
    }

    /// Checks all that can be told without starting anything.
    ///
    /// # Errors
    /// The first value that cannot be honoured.
    pub fn check(&self) -> Result<(), Error> {
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.id.is_empty() || self.id.len() > 128 || !self.id.chars().all(name) {
            return Err(Error::Id(self.id.clone()));
        }
        if !(1..=MAX_VCPUS).contains(&self.vcpus) {
            return Err(Error::Vcpus { asked: self.vcpus });
        }
        if self.memory_mib < MIN_MEMORY_MIB {
            return Err(Error::MemoryTooSmall {
                asked: self.memory_mib,
            });
        }
        let machine = machine_memory_mib();
        if self.memory_mib > machine {
            return Err(Error::MemoryTooLarge {
                asked: self.memory_mib,
                machine,
            });
        }
        let magic = readable(&self.kernel)?;
        if magic != *b"\x7fELF" {
            return Err(Error::NotAKernel(self.kernel.clone()));
        }
        readable(&self.initramfs)?;
        if let Some(word) = self
            .cmdline
            .iter()
            .find(|w| w.contains(|c: char| c.is_control()))
        {
            return Err(Error::CommandLine(word.clone()));
        }
        for disk in &self.disks {
            disk.check()?;
        }
        Ok(())
    }
}

/// The first bytes of a file that can be read.
fn readable(path: &std::path::Path) -> Result<[u8; 4], Error> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    let mut magic = [0; 4];
    match file.read_exact(&mut magic) {
        // A file this short is for the caller to judge.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(failed(error)),
        _ => Ok(magic),
    }
}

/// The memory of this machine in MiB.
#[must_use]
pub fn machine_memory_mib() -> u64 {
    let info = rustix::system::sysinfo();
    (info.totalram * u64::from(info.mem_unit)) >> 20
}

#[cfg(test)]
#[path = "config_test.rs"]
mod tests;
