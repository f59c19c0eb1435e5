//! QEMU as the hypervisor: one process per VM, told what to do over QMP.

mod command;
mod vm;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::net::{UnixStream, unix::pipe};

use crate::config::Vsock;
use crate::console::{Log, Tail, keep};
use crate::{Disk, Error, Hypervisor, Vm, VmConfig, process};
use command::{DiskNode, Inherited};

pub use crate::console::CONSOLE_LIMIT;

/// How long QEMU may take until it answers for the first time. Under load (twenty starting at
/// once on two cores) this takes seconds, not tenths.
const START_LIMIT: Duration = Duration::from_secs(30);

/// QEMU as the hypervisor.
#[derive(Debug, Clone)]
pub struct Qemu {
    program: PathBuf,
}

impl Default for Qemu {
    fn default() -> Qemu {
        Qemu::new("qemu-system-x86_64")
    }
}

impl Qemu {
    /// Uses this program; a bare name is looked up in `PATH`.
    pub fn new(program: impl Into<PathBuf>) -> Qemu {
        Qemu {
            program: program.into(),
        }
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }
}

fn host(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Host { what, source }
}

/// A pair of connected sockets: ours, and the one for QEMU.
fn pair() -> Result<(UnixStream, OwnedFd), Error> {
    let failed = host("make a pair of sockets");
    let (ours, theirs) = StdUnixStream::pair().map_err(&failed)?;
    ours.set_nonblocking(true).map_err(&failed)?;
    Ok((UnixStream::from_std(ours).map_err(&failed)?, theirs.into()))
}

/// Writes the descriptor of a disk of several files, and gives its path; `None` if the disk is one
/// file and needs no descriptor.
fn descriptor(run_dir: &Path, disk: &Disk) -> Result<Option<PathBuf>, Error> {
    if disk.extents.len() == 1 {
        return Ok(None);
    }
    let path = std::path::absolute(run_dir.join(format!("disk-{}.vmdk", disk.serial)))
        .map_err(host("find the run directory"))?;
    std::fs::write(&path, disk.vmdk()).map_err(|source| Error::File {
        path: path.clone(),
        source,
    })?;
    Ok(Some(path))
}

fn connect(vsock: Vsock) -> Result<OwnedFd, Error> {
    match vsock {
        Vsock::Connected(fd) => Ok(fd),
        Vsock::Socket(path) => StdUnixStream::connect(&path)
            .map(OwnedFd::from)
            .map_err(|source| Error::File { path, source }),
    }
}

#[async_trait]
impl Hypervisor for Qemu {
    async fn start(&self, mut config: VmConfig) -> Result<Box<dyn Vm>, Error> {
        config.check()?;
        let mut disks: Vec<(DiskNode, Option<PathBuf>)> = Vec::new();
        for disk in &config.disks {
            let descriptor = descriptor(&config.run_dir, disk)?;
            let node = DiskNode::new(disk, descriptor.as_deref());
            if disks.iter().any(|(other, _)| other.name == node.name) {
                return Err(Error::DiskExists(disk.serial.clone()));
            }
            disks.push((node, descriptor));
        }
        let log = Log::create(&config.console, CONSOLE_LIMIT).map_err(|source| Error::File {
            path: config.console.clone(),
            source,
        })?;
        let vsock = config.vsock.take().map(connect).transpose()?;
        let (control, control_theirs) = pair()?;
        let (console, console_theirs) = pair()?;

        let fds = Inherited {
            control: control_theirs.as_raw_fd(),
            console: console_theirs.as_raw_fd(),
            vsock: vsock.as_ref().map(AsRawFd::as_raw_fd),
            taps: config.taps.iter().map(|tap| tap.fd.as_raw_fd()).collect(),
        };
        let (nodes, descriptors): (Vec<_>, Vec<_>) = disks.into_iter().unzip();
        let mut command = Command::new(&self.program);
        command
            .args(command::qemu(&config, &fds, &nodes))
            .current_dir("/")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut inherited = vec![&control_theirs, &console_theirs];
        inherited.extend(config.taps.iter().map(|tap| &tap.fd));
        inherited.extend(&vsock);
        let (mut child, pidfd) =
            process::spawn(&mut command, &inherited).map_err(|source| Error::Spawn {
                program: self.program.clone(),
                source,
            })?;
        // The spawn comes back when the program is being executed.
        let began = Instant::now();
        // Only QEMU holds its ends now, so they close when it ends.
        drop((control_theirs, console_theirs, vsock, command));
        config.taps.clear();

        let words = Tail::default();
        let output = Tail::default();
        let stderr = child
            .stderr
            .take()
            .map(OwnedFd::from)
            .map(pipe::Receiver::from_owned_fd);
        let mut readers = vec![tokio::spawn(keep(console, output.clone(), Some(log)))];
        match stderr.transpose() {
            Ok(Some(stderr)) => readers.push(tokio::spawn(keep(stderr, words.clone(), None))),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "what the VM monitor says is not heard"),
        }
        let disks = config
            .disks
            .iter()
            .map(|disk| disk.serial.clone())
            .zip(descriptors)
            .collect();
        let memory = vm::Memory {
            base_mib: config.memory_mib,
            more_mib: config.more_memory_mib(),
        };
        let vm = vm::QemuVm::adopt(vm::Parts {
            child,
            pidfd,
            began,
            control,
            readers,
            words,
            output,
            run_dir: config.run_dir,
            disks,
            limit: START_LIMIT,
            memory,
        });
        Ok(Box::new(vm.await?))
    }
}
