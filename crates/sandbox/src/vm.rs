//! The sandbox's virtual machine: the vsock device's process, the monitor and the agent, brought
//! up together and taken down together.

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Stdio as ProcessStdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use skete_agent_api::{GUEST_CID, agent};
use skete_hypervisor::{Accelerator, Disk, Hypervisor, Qemu, Tap, Vm, VmConfig, Vsock};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::agent::{Agent, request};
use crate::error::EngineError;
use crate::layout::Layout;
use crate::programs::Programs;
use crate::sandbox::agent_failed;
use crate::size::Size;
use crate::timings::{Stopwatch, Timings};

/// The serial of the scratch disk.
pub const SCRATCH_SERIAL: &str = "scratch";
/// How long a guest may take to its agent: a hundred times what it does. An emulated one that
/// shares two processors with twenty others, and these with all else, takes a minute and more.
fn boot_deadline(accelerator: Accelerator) -> Duration {
    Duration::from_secs(match accelerator {
        Accelerator::Kvm => 60,
        Accelerator::Emulation => 150,
    })
}
/// How long a guest may take to power itself off before the monitor is killed.
pub(crate) const POWER_OFF: Duration = Duration::from_secs(3);
/// The same if it first has to write what outlives it.
pub(crate) const WRITE_AND_POWER_OFF: Duration = Duration::from_secs(60);

/// A running VM.
pub struct Machine {
    vm: Box<dyn Vm>,
    agent: Agent,
    vsock: Device,
    disks: AtomicU32,
}

/// What a VM is started from.
pub struct Boot<'a> {
    /// Its paths.
    pub layout: &'a Layout,
    /// Kernel, agent and helpers.
    pub programs: &'a Programs,
    /// Its size.
    pub size: &'a Size,
    /// What its memory may be raised to, in MiB.
    pub max_memory_mib: u64,
    /// KVM or emulation.
    pub accelerator: Accelerator,
    /// Its network interfaces.
    pub taps: Vec<Tap>,
}

impl Machine {
    /// Starts the vsock device and the monitor, and waits for the agent.
    ///
    /// # Errors
    /// If one of them does not start, or the guest ends or hangs on its way.
    pub async fn boot(boot: Boot<'_>, timings: &Timings) -> Result<Self, EngineError> {
        let stopwatch = Stopwatch::start();
        let vsock = start_vsock(boot.layout, &boot.programs.vsock()?)?;
        timings.record("vsock", stopwatch);
        let asked = Instant::now();
        let scratch = scratch_disk(SCRATCH_SERIAL, &boot.layout.scratch())?;
        let config = VmConfig {
            id: boot.layout.id().to_owned(),
            kernel: boot.programs.kernel()?,
            initramfs: boot.programs.initramfs()?,
            cmdline: Vec::new(),
            vcpus: boot.size.vcpus,
            memory_mib: boot.size.memory_mib,
            max_memory_mib: boot.max_memory_mib,
            taps: boot.taps,
            vsock: Some(Vsock::Socket(boot.layout.vhost_socket())),
            disks: vec![scratch],
            console: boot.layout.console_log(),
            run_dir: boot.layout.run().to_owned(),
            accelerator: boot.accelerator,
        };
        let hypervisor = Qemu::default();
        let vm = tokio::select! {
            started = hypervisor.start(config) => started?,
            why = vsock.ended() => return Err(EngineError::GuestEnded(why)),
        };
        // What is the engine's work, and what the monitor's own.
        timings.record_duration("monitor-exec", vm.began() - asked);
        timings.record_duration("monitor", vm.began().elapsed());

        let stopwatch = Stopwatch::start();
        let vsock_path = boot.layout.vsock();
        let (agent, hello) = tokio::select! {
            connected = Agent::connect(&vsock_path, boot_deadline(boot.accelerator)) => connected?,
            exit = vm.wait() => return Err(EngineError::GuestEnded(exit.to_string())),
            why = vsock.ended() => return Err(EngineError::GuestEnded(why)),
        };
        timings.record("guest-boot", stopwatch);
        timings.record_duration("guest-uptime", Duration::from_nanos(hello.uptime_ns));
        tracing::info!(kernel = hello.kernel, agent = hello.version, "guest is up");
        Ok(Self {
            vm,
            agent,
            vsock,
            disks: AtomicU32::new(0),
        })
    }

    /// The agent.
    #[must_use]
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The monitor's process id on the host.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.vm.pid()
    }

    /// Waits until the VM has ended, and says why. One whose vsock device has ended is of no use
    /// any more, and is killed.
    pub async fn ended(&self) -> String {
        tokio::select! {
            exit = self.vm.wait() => exit.to_string(),
            why = self.vsock.ended() => {
                self.vm.kill().await;
                why
            }
        }
    }

    /// Plugs in layers, the lowest first, as one read-only disk.
    ///
    /// # Errors
    /// If a layer cannot be opened or the monitor refuses.
    pub async fn attach_layers(&self, layers: &[PathBuf]) -> Result<agent::LayerDisk, EngineError> {
        let serial = format!("layers-{}", self.disks.fetch_add(1, Ordering::Relaxed));
        let extents =
            skete_hypervisor::concatenate(layers).map_err(skete_hypervisor::Error::from)?;
        let layer = |extent: &skete_hypervisor::Extent| agent::Extent {
            offset: extent.offset,
            length: extent.length,
            ..Default::default()
        };
        let layers = extents.iter().map(layer).collect();
        let disk = Disk {
            serial: serial.clone(),
            read_only: true,
            ephemeral: false,
            extents,
        };
        self.vm.attach_disk(&disk).await?;
        Ok(agent::LayerDisk {
            serial,
            layers,
            ..Default::default()
        })
    }

    /// Plugs in a file or block device of the host as a disk.
    ///
    /// # Errors
    /// If it cannot be opened or the monitor refuses.
    pub async fn attach_file(
        &self,
        serial: &str,
        file: &Path,
        read_only: bool,
    ) -> Result<(), EngineError> {
        let disk = Disk::whole(serial, file, read_only).map_err(skete_hypervisor::Error::from)?;
        Ok(self.vm.attach_disk(&disk).await?)
    }

    /// Plugs in a disk whose content is worthless once the guest has ended.
    ///
    /// # Errors
    /// If it cannot be opened or the monitor refuses.
    pub async fn attach_scratch(&self, serial: &str, file: &Path) -> Result<(), EngineError> {
        Ok(self.vm.attach_disk(&scratch_disk(serial, file)?).await?)
    }

    /// Gives the guest volumes, one after the other.
    ///
    /// # Errors
    /// If the guest refuses one: those after it are not given.
    pub async fn put_volumes(
        &self,
        volumes: &[agent::PutVolumeRequest],
    ) -> Result<(), EngineError> {
        for volume in volumes {
            let rpc = self.agent.rpc();
            rpc.put_volume(request(), volume)
                .await
                .map_err(agent_failed)?;
        }
        Ok(())
    }

    /// Changes the guest's memory.
    ///
    /// # Errors
    /// If the monitor refuses, or the guest does not take it.
    pub async fn set_memory(&self, mib: u64) -> Result<(), EngineError> {
        Ok(self.vm.set_memory(mib).await?)
    }

    /// Unplugs a disk.
    ///
    /// # Errors
    /// If the monitor refuses.
    pub async fn detach(&self, serial: &str) -> Result<(), EngineError> {
        Ok(self.vm.detach_disk(serial).await?)
    }

    /// Lets the guest power itself off, and kills the monitor if it does not within `limit`.
    pub async fn power_off(&self, limit: Duration) {
        let off = async {
            // The answer may never come: the guest is going down.
            let _ = self
                .agent
                .rpc()
                .power_off(request(), &agent::Empty::new())
                .await;
            self.vm.wait().await;
        };
        if tokio::time::timeout(limit, off).await.is_err() {
            self.kill().await;
        }
    }

    /// Ends the monitor at once.
    pub async fn kill(&self) {
        self.vm.kill().await;
    }
}

fn scratch_disk(serial: &str, file: &Path) -> Result<Disk, EngineError> {
    let mut disk = Disk::whole(serial, file, false).map_err(skete_hypervisor::Error::from)?;
    disk.ephemeral = true;
    Ok(disk)
}

/// The vsock device's process. It ends when this is dropped.
struct Device {
    why: watch::Receiver<Option<String>>,
    watcher: JoinHandle<()>,
}

impl Device {
    fn new(mut process: Child) -> Self {
        let (told, why) = watch::channel(None);
        // The process is killed with this task.
        let watcher = tokio::spawn(async move {
            let how = match process.wait().await {
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            };
            told.send_replace(Some(format!("the vsock device ended: {how}")));
        });
        Self { why, watcher }
    }

    /// Waits until it has ended, and says how.
    async fn ended(&self) -> String {
        let mut why = self.why.clone();
        let ended = why.wait_for(Option::is_some).await;
        ended.ok().and_then(|why| why.clone()).unwrap_or_default()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

/// Starts `skete-vsock` on listening sockets of ours, so that nobody has to wait for them.
fn start_vsock(layout: &Layout, program: &PathBuf) -> Result<Device, EngineError> {
    let start = || {
        let listen = |path: PathBuf| {
            let listener = UnixListener::bind(path)?;
            // The device inherits it. Nothing else is started before it is closed here.
            rustix::io::fcntl_setfd(listener.as_fd(), rustix::io::FdFlags::empty())?;
            std::io::Result::Ok(listener)
        };
        let vhost = listen(layout.vhost_socket())?;
        let uds = listen(layout.vsock())?;
        Command::new(program)
            .args(["--guest-cid", &GUEST_CID.to_string()])
            .args(["--parent", &std::process::id().to_string()])
            .arg("--uds-path")
            .arg(layout.vsock())
            .args(["--socket-fd", &vhost.as_raw_fd().to_string()])
            .args(["--uds-fd", &uds.as_raw_fd().to_string()])
            .stdin(ProcessStdio::null())
            .stdout(ProcessStdio::null())
            .kill_on_drop(true)
            .spawn()
    };
    start().map(Device::new).map_err(EngineError::Vsock)
}
