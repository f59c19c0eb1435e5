//! The sandbox: one Pod's VM, network, disks and containers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skete_agent_api::agent;
use skete_cri_api::annotations;
use skete_cri_api::runtime::{NamespaceMode, PodSandboxConfig};
use skete_hypervisor::{Accelerator, Qemu, accelerator, check_fits, machine_memory_mib};
use skete_usage::{EndReason, Event as Used};
use tokio::sync::{mpsc, watch};

use crate::agent::request;
use crate::blocks::Blocks;
use crate::cgroup::{HostUsage, PodCgroup};
use crate::cleanup;
use crate::container::Container;
use crate::description::Description;
use crate::disk_volumes::DiskVolumes;
use crate::error::EngineError;
use crate::forward;
use crate::layout::Layout;
use crate::meter::Meter;
use crate::network;
use crate::policy::Policy;
use crate::process::{Exit, Status};
use crate::programs::Programs;
use crate::scratch;
use crate::size::Size;
use crate::timings::{Stopwatch, Timings};
use crate::vm::{Boot, Machine, POWER_OFF, SCRATCH_SERIAL, WRITE_AND_POWER_OFF};
use crate::volumes::Volumes;
use crate::volumes::empty_dir::EmptyDisks;

/// The exit code of processes whose VM is gone: 128 + SIGKILL.
const GONE: u32 = 137;
/// Bytes of entropy for the guest's generator.
const ENTROPY_BYTES: usize = 64;

/// What happened to a process, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The kernel of the guest killed a process of the container for want of memory. Comes
    /// before the exit of the container.
    Oom {
        /// The container.
        container_id: String,
    },
    /// A process has ended and its output is complete.
    Exit {
        /// The container.
        container_id: String,
        /// Empty for the container's first process.
        exec_id: String,
        /// How.
        exit: Exit,
    },
}

/// How a sandbox ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxExit {
    /// 0 if it was stopped, 1 if its VM ended by itself.
    pub code: u32,
    /// When.
    pub at: SystemTime,
    /// Why, in one line.
    pub reason: String,
}

/// A Pod's sandbox.
pub struct Sandbox {
    layout: Layout,
    pub(crate) config: PodSandboxConfig,
    pub(crate) policy: Policy,
    netns: Option<PathBuf>,
    size: Size,
    accelerator: Accelerator,
    cgroup: PodCgroup,
    created_at: SystemTime,
    pub(crate) resizing: tokio::sync::Mutex<()>,
    pub(crate) blocks: tokio::sync::Mutex<Blocks>,
    pub(crate) machine: OnceLock<Arc<Machine>>,
    containers: Mutex<BTreeMap<String, Arc<Container>>>,
    pub(crate) volumes: Mutex<Volumes>,
    pub(crate) exit: watch::Sender<Option<SandboxExit>>,
    stopping: watch::Sender<bool>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) timings: Timings,
    pub(crate) meter: Meter,
}

impl Sandbox {
    /// Makes the sandbox's directories and cgroup, and moves this process into the cgroup, so that
    /// all it starts from now on is in it.
    ///
    /// # Errors
    /// If the Pod is too large for the machine, or the host refuses.
    pub fn create(
        layout: Layout,
        config: PodSandboxConfig,
        policy: Policy,
        netns: Option<PathBuf>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Arc<Self>, EngineError> {
        let stopwatch = Stopwatch::start();
        refuse_host_namespaces(&config)?;
        let size = Size::of_pod(&config)?;
        let wanted = config.annotations.get(annotations::HYPERVISOR);
        let accelerator = accelerator::choose(
            wanted.map(String::as_str),
            Qemu::default().program(),
            Some(layout.probe_cache()),
        )?;
        check_fits(size.vcpus, size.memory_mib, accelerator)?;
        let overhead_mib = accelerator.overhead_mib();
        let parent = config.linux.cgroup_parent.as_str();
        let parent = if parent.is_empty() { "skete" } else { parent };
        let cgroup = PodCgroup::new(&format!("{parent}/{}", layout.id()))?;
        size.check_room(overhead_mib, cgroup.room_bytes())?;
        let meter = Meter::open(&layout, &config, &policy, &size, overhead_mib)?;
        let make = || -> Result<(), EngineError> {
            layout.create().map_err(|source| EngineError::Io {
                action: "create",
                path: layout.run().to_owned(),
                source,
            })?;
            Description::new(&config, &size, accelerator).write(&layout)?;
            cleanup::remember_cgroup(&layout, &cgroup)?;
            cgroup.create(&size.limits(overhead_mib))?;
            Ok(cgroup.join()?)
        };
        make().inspect_err(|_| meter.end(cgroup.cpu_ns(), EndReason::Failed))?;
        let empty_disks = is_kubelets(&config)
            .then(|| EmptyDisks::new(layout.scratch_templates(), size.scratch_bytes));
        let volumes = Volumes::new(layout.id(), empty_disks);
        let timings = Timings::default();
        timings.record("cgroup", stopwatch);
        Ok(Arc::new(Self {
            layout,
            config,
            policy,
            netns,
            size,
            accelerator,
            cgroup,
            created_at: SystemTime::now(),
            resizing: tokio::sync::Mutex::default(),
            blocks: tokio::sync::Mutex::default(),
            machine: OnceLock::new(),
            containers: Mutex::default(),
            volumes: Mutex::new(volumes),
            exit: watch::Sender::new(None),
            stopping: watch::Sender::new(false),
            events,
            timings,
            meter,
        }))
    }

    /// Starts the VM with its network and scratch disk, and waits for its agent.
    ///
    /// # Errors
    /// If any part fails; nothing is left running then.
    pub async fn start(self: &Arc<Self>) -> Result<(), EngineError> {
        if self.machine.get().is_some() {
            return Err(self.wrong_state("has been started already"));
        }
        let disk_volumes = DiskVolumes::claim(&self.config.metadata.uid).await?;
        let stopwatch = Stopwatch::start();
        let attachment = match &self.netns {
            None => network::Attached::default(),
            Some(netns) => network::attach(netns, &self.layout.network_state())?,
        };
        self.timings.record("network", stopwatch);
        let stopwatch = Stopwatch::start();
        scratch::create(
            &self.layout.scratch_templates(),
            &self.layout.scratch(),
            self.size.scratch_bytes,
        )?;
        if is_kubelets(&self.config)
            && let Err(error) = scratch::count(&self.layout, self.config.log_directory.as_ref())
        {
            let error = EngineError::from(error).chain();
            tracing::warn!(error, "the kubelet does not see what the Pod writes");
        }
        self.timings.record("scratch", stopwatch);
        let programs = Programs::of_this_executable()?;
        let network::Attached {
            taps,
            interfaces,
            routes,
            traffic,
        } = attachment;
        self.meter.count(traffic);
        let stopwatch = Stopwatch::start();
        self.meter.on_disk().await?;
        self.timings.record("journal", stopwatch);
        let boot = Boot {
            layout: &self.layout,
            programs: &programs,
            size: &self.size,
            max_memory_mib: self.max_memory_mib(),
            accelerator: self.accelerator,
            taps,
        };
        let machine = Arc::new(Machine::boot(boot, &self.timings).await?);
        let stopwatch = Stopwatch::start();
        let configuration = self.guest_configuration(interfaces, routes)?;
        machine
            .agent()
            .rpc()
            .configure_sandbox(request(), &configuration)
            .await
            .map_err(agent_failed)?;
        self.timings.record("configure", stopwatch);
        let mounted = |place, name| self.lock_volumes().add_disk(place, name);
        disk_volumes.mount(&machine, mounted).await?;
        // Nobody else sets it: `start` is called once.
        let _ = self.machine.set(Arc::clone(&machine));
        tokio::spawn(Arc::clone(self).forward_ports(Arc::clone(&machine)));
        tokio::spawn(Arc::clone(self).follow_volumes(Arc::clone(&machine)));
        self.meter.tell(Used::Ready);
        tokio::spawn(Arc::clone(self).meter_host());
        tokio::spawn(Arc::clone(self).meter_guest());
        tokio::spawn(Arc::clone(self).watch_machine(machine, disk_volumes));
        Ok(())
    }

    /// A kubelet may resize its Pods; nobody else does.
    fn max_memory_mib(&self) -> u64 {
        if is_kubelets(&self.config) {
            machine_memory_mib()
        } else {
            0
        }
    }

    fn guest_configuration(
        &self,
        interfaces: Vec<agent::Interface>,
        routes: Vec<agent::Route>,
    ) -> Result<agent::ConfigureSandboxRequest, EngineError> {
        let mut entropy = vec![0; ENTROPY_BYTES];
        File::open("/dev/urandom")
            .and_then(|mut random| random.read_exact(&mut entropy))
            .map_err(|source| EngineError::Io {
                action: "read",
                path: "/dev/urandom".into(),
                source,
            })?;
        let namespaces = &self.config.linux.security_context.namespace_options;
        let pid_mode = namespaces.pid.enum_value_or_default();
        Ok(agent::ConfigureSandboxRequest {
            hostname: self.config.hostname.clone(),
            realtime_ns: nanoseconds(SystemTime::now()),
            entropy,
            interfaces,
            routes,
            sysctls: self.config.linux.sysctls.clone(),
            scratch_serial: SCRATCH_SERIAL.to_owned(),
            share_process_namespace: namespaces.is_some() && pid_mode == NamespaceMode::POD,
            ..Default::default()
        })
    }

    /// Beside the start, which need not wait for it.
    async fn forward_ports(self: Arc<Self>, machine: Arc<Machine>) {
        if let Some(netns) = &self.netns
            && let Err(error) = forward::serve(netns, machine.agent()).await
        {
            tracing::warn!(error = error.chain(), "no port can be forwarded to the Pod");
        }
    }

    /// Follows the VM to its end: every process that still ran has then ended too.
    async fn watch_machine(self: Arc<Self>, machine: Arc<Machine>, disk_volumes: DiskVolumes) {
        let reason = machine.ended().await;
        let asked = *self.stopping.borrow();
        if !asked {
            tracing::error!(reason, "the guest ended by itself");
        }
        let at = SystemTime::now();
        for container in self.all_containers() {
            for process in container.processes() {
                process.drain().await;
                let exit = Exit {
                    code: GONE,
                    at,
                    oom_killed: false,
                };
                if process.status() != Status::Created && process.set_exited(exit) {
                    self.publish_exit(&process, exit);
                }
            }
        }
        // The kubelet unmounts them next, and looks whether their devices are free.
        drop(disk_volumes);
        let why = if asked {
            EndReason::Stopped
        } else {
            EndReason::Ended
        };
        self.meter.end(self.cpu_ns(), why);
        self.exit.send_replace(Some(SandboxExit {
            code: u32::from(!asked),
            at,
            reason,
        }));
    }

    /// Waits for the sandbox's end.
    pub async fn wait(&self) -> SandboxExit {
        let mut exit = self.exit.subscribe();
        loop {
            if let Some(exit) = exit.borrow_and_update().clone() {
                return exit;
            }
            // The sender is `self`, which outlives this borrow.
            let _ = exit.changed().await;
        }
    }

    /// Stops the VM: its processes are killed, its scratch disk is synced, it is powered off.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        match self.machine.get() {
            Some(machine) => {
                // While there are counters.
                self.look();
                let limit = match self.lock_volumes().has_disks() {
                    true => WRITE_AND_POWER_OFF,
                    false => POWER_OFF,
                };
                machine.power_off(limit).await;
                self.wait().await;
                // Before the CNI plugins look for their addresses.
                self.detach_network();
            }
            None => {
                self.meter.end(self.cpu_ns(), EndReason::Failed);
                let at = SystemTime::now();
                let reason = "stopped before it was started".to_owned();
                self.exit.send_replace(Some(SandboxExit {
                    code: 0,
                    at,
                    reason,
                }));
            }
        }
    }

    /// Removes all that the sandbox made on the host. This process leaves the cgroup.
    ///
    /// # Errors
    /// If something of it does not go away.
    pub fn remove(&self) -> Result<(), EngineError> {
        self.meter.end(self.cpu_ns(), EndReason::Failed);
        self.cgroup.leave()?;
        self.detach_network();
        let removed = cleanup::remove(&self.layout);
        self.meter.close();
        removed
    }

    fn detach_network(&self) {
        if let Some(netns) = &self.netns {
            network::detach(netns, &self.layout.network_state());
        }
    }

    /// A container.
    ///
    /// # Errors
    /// If there is none of that id.
    pub fn container(&self, id: &str) -> Result<Arc<Container>, EngineError> {
        let found = self.lock_containers().get(id).map(Arc::clone);
        found.ok_or_else(|| EngineError::NotFound {
            what: "container",
            id: id.to_owned(),
        })
    }

    /// The VM.
    ///
    /// # Errors
    /// If the sandbox has not been started, or has ended.
    pub fn machine(&self) -> Result<&Arc<Machine>, EngineError> {
        if self.exit.borrow().is_some() {
            return Err(self.wrong_state("has ended"));
        }
        self.machine
            .get()
            .ok_or_else(|| self.wrong_state("has not been started"))
    }

    /// The monitor's process id on the host; 0 before the start.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.machine.get().map_or(0, |machine| machine.pid())
    }

    /// When it was created.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        self.created_at
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<SandboxExit> {
        self.exit.borrow().clone()
    }

    /// The size of its VM.
    #[must_use]
    pub fn size(&self) -> &Size {
        &self.size
    }

    /// Lets the Pod use what it needs of the host at another size; `cpu` in thousandths is what its
    /// containers may use. Its share of memory does not fall below what it started with: the guest
    /// gives back what it can.
    ///
    /// # Errors
    /// If the machine or the cgroups above do not allow it.
    pub(crate) fn make_room(&self, size: &Size, cpu: Option<u64>) -> Result<(), EngineError> {
        let overhead_mib = self.accelerator.overhead_mib();
        let largest = size.with_memory(size.memory_mib.max(self.size.memory_mib));
        if size.memory_mib > self.size.memory_mib {
            check_fits(size.vcpus, size.memory_mib, self.accelerator)?;
            size.check_room(overhead_mib, self.cgroup.room_bytes())?;
        }
        Ok(self.cgroup.set(&largest.limits_with(overhead_mib, cpu))?)
    }

    /// What the Pod has used of the host.
    #[must_use]
    pub fn host_usage(&self) -> HostUsage {
        self.cgroup.usage()
    }

    /// The CPU time of everything of the Pod on the host, in nanoseconds.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.cgroup.cpu_ns()
    }

    /// Facts for people and for `skete run --timings`, by name.
    #[must_use]
    pub fn info(&self) -> BTreeMap<String, String> {
        let mut info = self.timings.as_info();
        let usage = self.host_usage();
        let mut put = |key: &str, value: String| info.insert(key.to_owned(), value);
        put("vcpus", self.size.vcpus.to_string());
        put("memory-mib", self.size.memory_mib.to_string());
        put(
            "accelerator",
            format!("{:?}", self.accelerator).to_lowercase(),
        );
        put("cgroup", self.cgroup.path().to_owned());
        put("usage.cpu-ns", usage.cpu_ns.to_string());
        put("usage.memory-bytes", usage.memory_bytes.to_string());
        put(
            "usage.memory-peak-bytes",
            usage.memory_peak_bytes.to_string(),
        );
        if let Some(exit) = self.ended() {
            put("exit.reason", exit.reason);
        }
        info
    }

    /// Whether it has no container any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock_containers().is_empty()
    }

    pub(crate) fn all_containers(&self) -> Vec<Arc<Container>> {
        self.lock_containers().values().map(Arc::clone).collect()
    }

    pub(crate) fn lock_containers(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Container>>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wrong_state(&self, state: &'static str) -> EngineError {
        EngineError::WrongState {
            what: "sandbox",
            id: self.layout.id().to_owned(),
            state,
        }
    }
}

/// Only the kubelet says in which cgroup a Pod belongs.
fn is_kubelets(config: &PodSandboxConfig) -> bool {
    !config.linux.cgroup_parent.is_empty()
}

/// A guest has a kernel of its own: no process in it can be in a namespace of the host's.
fn refuse_host_namespaces(config: &PodSandboxConfig) -> Result<(), EngineError> {
    let options = &config.linux.security_context.namespace_options;
    let asked = [
        ("hostNetwork", options.network),
        ("hostPID", options.pid),
        ("hostIPC", options.ipc),
    ];
    let is_host =
        |mode: protobuf::EnumOrUnknown<NamespaceMode>| mode.enum_value() == Ok(NamespaceMode::NODE);
    match asked.iter().find(|(_, mode)| is_host(*mode)) {
        None => Ok(()),
        Some((field, _)) => Err(EngineError::InvalidArgument(format!(
            "spec.{field} asks for a namespace of the host, and a Pod in a VM has none: leave it \
             out, or leave out the Pod's runtimeClassName"
        ))),
    }
}

pub(crate) fn agent_failed(error: ttrpc::Error) -> EngineError {
    EngineError::Agent(error.into())
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
