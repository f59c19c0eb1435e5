//! The sandbox: one Pod's VM, network, disks and containers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skete_agent_api::agent;
use skete_cri_api::runtime::PodSandboxConfig;
use skete_hypervisor::accelerator::probe;
use skete_hypervisor::{Accelerator, Qemu};
use tokio::sync::{mpsc, watch};

use crate::agent::{request, unlimited};
use crate::cgroup::{HostUsage, PodCgroup};
use crate::cleanup;
use crate::container::{Container, ContainerRequest, read_spec};
use crate::error::EngineError;
use crate::layout::Layout;
use crate::network;
use crate::process::{Exit, Process, Status, Stdio};
use crate::programs::Programs;
use crate::scratch;
use crate::size::{Size, machine_memory_mib, overhead_mib};
use crate::timings::{Stopwatch, Timings};
use crate::vm::{Boot, Machine, SCRATCH_SERIAL};
use crate::volumes::Volumes;

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
    config: PodSandboxConfig,
    netns: Option<PathBuf>,
    size: Size,
    accelerator: Accelerator,
    cgroup: PodCgroup,
    created_at: SystemTime,
    machine: OnceLock<Arc<Machine>>,
    containers: Mutex<BTreeMap<String, Arc<Container>>>,
    volumes: Mutex<Volumes>,
    exit: watch::Sender<Option<SandboxExit>>,
    stopping: watch::Sender<bool>,
    events: mpsc::UnboundedSender<Event>,
    timings: Timings,
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
        netns: Option<PathBuf>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Arc<Self>, EngineError> {
        let stopwatch = Stopwatch::start();
        let size = Size::of_pod(&config)?;
        let qemu = Qemu::default();
        let accelerator = probe(qemu.program(), Some(layout.probe_cache())).accelerator;
        let overhead_mib = overhead_mib(accelerator);
        size.check_fits(overhead_mib, machine_memory_mib())?;
        layout.create().map_err(|source| EngineError::Io {
            action: "create",
            path: layout.run().to_owned(),
            source,
        })?;
        let parent = config.linux.cgroup_parent.as_str();
        let parent = if parent.is_empty() { "skete" } else { parent };
        let cgroup = PodCgroup::new(&format!("{parent}/{}", layout.id()))?;
        cleanup::remember_cgroup(&layout, &cgroup)?;
        cgroup.create(&size.limits(overhead_mib))?;
        cgroup.join()?;
        let timings = Timings::default();
        timings.record("cgroup", stopwatch);
        Ok(Arc::new(Self {
            layout,
            config,
            netns,
            size,
            accelerator,
            cgroup,
            created_at: SystemTime::now(),
            machine: OnceLock::new(),
            containers: Mutex::default(),
            volumes: Mutex::default(),
            exit: watch::Sender::new(None),
            stopping: watch::Sender::new(false),
            events,
            timings,
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
        self.timings.record("scratch", stopwatch);
        let programs = Programs::of_this_executable()?;
        let network::Attached {
            taps,
            interfaces,
            routes,
        } = attachment;
        let boot = Boot {
            layout: &self.layout,
            programs: &programs,
            size: &self.size,
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
        // Nobody else sets it: `start` is called once.
        let _ = self.machine.set(Arc::clone(&machine));
        tokio::spawn(Arc::clone(self).watch_machine(machine));
        Ok(())
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
            share_process_namespace: namespaces.is_some()
                && pid_mode == skete_cri_api::runtime::NamespaceMode::POD,
            ..Default::default()
        })
    }

    /// Follows the VM to its end: every process that still ran has then ended too.
    async fn watch_machine(self: Arc<Self>, machine: Arc<Machine>) {
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
                machine.power_off().await;
                self.wait().await;
            }
            None => {
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
        self.cgroup.leave()?;
        if let Some(netns) = &self.netns {
            network::detach(netns, &self.layout.network_state());
        }
        cleanup::remove(&self.layout)
    }

    /// Plugs in a container's layers, gives the guest its volumes, and prepares the container.
    ///
    /// # Errors
    /// If the request is unsound or the guest refuses; the container is then not there.
    pub async fn create_container(&self, asked: ContainerRequest) -> Result<(), EngineError> {
        let machine = self.machine()?;
        if self.container(&asked.id).is_ok() {
            return Err(EngineError::AlreadyExists {
                what: "container",
                id: asked.id,
            });
        }
        let stopwatch = Stopwatch::start();
        let mut spec = read_spec(&asked.bundle)?;
        let annotations = self.config.annotations.clone().into_iter().collect();
        let volumes = self
            .volumes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .place(&mut spec, &annotations)?;
        for volume in volumes {
            machine
                .agent()
                .rpc()
                .put_volume(request(), &volume)
                .await
                .map_err(agent_failed)?;
        }
        self.timings.record("volumes", stopwatch);
        let stopwatch = Stopwatch::start();
        let disk = machine.attach_layers(&asked.rootfs).await?;
        self.timings.record("layers", stopwatch);
        let stopwatch = Stopwatch::start();
        let serial = disk.serial.clone();
        let container = Arc::new(Container::new(&asked, serial.clone()));
        let created = async {
            let create = agent::CreateContainerRequest {
                id: asked.id.clone(),
                spec: spec.to_string().into_bytes(),
                rootfs: Some(disk).into(),
                terminal: asked.stdio.terminal,
                writable_limit: asked.rootfs.writable_bytes,
                ..Default::default()
            };
            let rpc = machine.agent().rpc();
            rpc.create_container(request(), &create)
                .await
                .map_err(agent_failed)?;
            if let Err(error) = container.init.connect(machine.agent()).await {
                let _ = rpc
                    .delete_process(request(), &process_ref(&container.init))
                    .await;
                return Err(error);
            }
            Ok(())
        };
        if let Err(error) = created.await {
            if let Err(error) = machine.detach(&serial).await {
                tracing::warn!(error = error.chain(), serial, "unplug");
            }
            return Err(error);
        }
        self.lock_containers().insert(asked.id, container);
        self.timings.record("create", stopwatch);
        Ok(())
    }

    /// Starts a process that was created, and follows it to its end.
    ///
    /// # Errors
    /// If there is none, it was started before, or the guest cannot start it.
    pub async fn start_process(
        self: &Arc<Self>,
        container_id: &str,
        exec_id: &str,
    ) -> Result<u32, EngineError> {
        let machine = Arc::clone(self.machine()?);
        let process = self.container(container_id)?.process(exec_id)?;
        if process.status() != Status::Created {
            return Err(EngineError::WrongState {
                what: "process",
                id: format!("{container_id} {exec_id}").trim_end().to_owned(),
                state: "has been started already",
            });
        }
        let stopwatch = Stopwatch::start();
        if !exec_id.is_empty() {
            process.connect(machine.agent()).await?;
        }
        let reference = process_ref(&process);
        machine
            .agent()
            .rpc()
            .start_process(request(), &reference)
            .await
            .map_err(agent_failed)?;
        if exec_id.is_empty() {
            self.timings.record("start", stopwatch);
        }
        process.set_running();
        let pid = machine.pid();
        tokio::spawn(Arc::clone(self).watch_process(machine, process));
        // The guest's process ids mean nothing on the host, where a caller might signal them.
        Ok(pid)
    }

    async fn watch_process(self: Arc<Self>, machine: Arc<Machine>, process: Arc<Process>) {
        let reference = process_ref(&process);
        let answer = machine
            .agent()
            .rpc()
            .wait_process(unlimited(), &reference)
            .await;
        let Ok(answer) = answer else {
            // The guest is gone, and `watch_machine` says so of every process; or its agent lies,
            // and the guest is not worth keeping.
            machine.kill().await;
            return;
        };
        process.drain().await;
        let exit = Exit {
            code: answer.exit_code & 0xff,
            at: SystemTime::now(),
            oom_killed: answer.oom_killed,
        };
        if process.set_exited(exit) {
            self.publish_exit(&process, exit);
        }
    }

    fn publish_exit(&self, process: &Process, exit: Exit) {
        let container_id = process.container_id.clone();
        if exit.oom_killed {
            let _ = self.events.send(Event::Oom {
                container_id: container_id.clone(),
            });
        }
        // Nobody listens any more once the shim shuts down.
        let _ = self.events.send(Event::Exit {
            container_id,
            exec_id: process.exec_id.clone(),
            exit,
        });
    }

    /// Registers a further process of a running container; `process` is OCI's object of that name.
    ///
    /// # Errors
    /// If the container does not run, the id is taken or the guest refuses.
    pub async fn create_exec(
        &self,
        container_id: &str,
        exec_id: &str,
        process: &[u8],
        stdio: Stdio,
    ) -> Result<(), EngineError> {
        let machine = self.machine()?;
        let container = self.container(container_id)?;
        let terminal = stdio.terminal;
        container.add_exec(exec_id, stdio)?;
        let create = agent::CreateExecRequest {
            container_id: container_id.to_owned(),
            exec_id: exec_id.to_owned(),
            process: process.to_vec(),
            terminal,
            ..Default::default()
        };
        let created = machine.agent().rpc().create_exec(request(), &create).await;
        created.map(drop).map_err(|error| {
            container.remove_exec(exec_id);
            agent_failed(error)
        })
    }

    /// Sends a signal to a process, or to all of its container.
    ///
    /// # Errors
    /// If there is no such process or it has ended.
    pub async fn signal(
        &self,
        container_id: &str,
        exec_id: &str,
        signal: u32,
        all: bool,
    ) -> Result<(), EngineError> {
        let machine = self.machine()?;
        let process = self.container(container_id)?.process(exec_id)?;
        match process.status() {
            // As runc: a container that was never started ends by SIGKILL or SIGTERM.
            Status::Created => {
                let exit = Exit {
                    code: 128 + signal,
                    at: SystemTime::now(),
                    oom_killed: false,
                };
                if process.set_exited(exit) {
                    self.publish_exit(&process, exit);
                }
                return Ok(());
            }
            Status::Exited(_) => {
                return Err(EngineError::NotFound {
                    what: "process",
                    id: format!("{container_id} {exec_id}").trim_end().to_owned(),
                });
            }
            Status::Running => {}
        }
        let signal = agent::SignalRequest {
            container_id: container_id.to_owned(),
            exec_id: exec_id.to_owned(),
            signal,
            all,
            ..Default::default()
        };
        machine
            .agent()
            .rpc()
            .signal_process(request(), &signal)
            .await
            .map_err(agent_failed)?;
        Ok(())
    }

    /// Forgets an ended process; a container's disk is unplugged with its first process.
    ///
    /// # Errors
    /// If it runs, or the guest refuses.
    pub async fn delete(&self, container_id: &str, exec_id: &str) -> Result<Exit, EngineError> {
        let container = self.container(container_id)?;
        let process = container.process(exec_id)?;
        let exit = match process.status() {
            Status::Exited(exit) => exit,
            Status::Created => Exit {
                code: 0,
                at: SystemTime::now(),
                oom_killed: false,
            },
            Status::Running => {
                return Err(EngineError::WrongState {
                    what: "process",
                    id: format!("{container_id} {exec_id}").trim_end().to_owned(),
                    state: "is running",
                });
            }
        };
        // With the VM gone there is nothing to forget in it.
        if let Some(machine) = self.machine.get().filter(|_| self.exit.borrow().is_none()) {
            let reference = process_ref(&process);
            let deleted = machine
                .agent()
                .rpc()
                .delete_process(request(), &reference)
                .await;
            if let Err(error) = deleted.map_err(agent_failed)
                && error.kind() != crate::error::Kind::NotFound
                && self.exit.borrow().is_none()
            {
                return Err(error);
            }
            if exec_id.is_empty()
                && self.exit.borrow().is_none()
                && let Err(error) = machine.detach(&container.disk).await
            {
                tracing::warn!(error = error.chain(), disk = container.disk, "unplug");
            }
        }
        if exec_id.is_empty() {
            self.lock_containers().remove(container_id);
        } else {
            container.remove_exec(exec_id);
        }
        Ok(exit)
    }

    /// Tells a process's terminal its size.
    ///
    /// # Errors
    /// If there is no such process, or it has no terminal.
    pub async fn resize(
        &self,
        container_id: &str,
        exec_id: &str,
        columns: u32,
        rows: u32,
    ) -> Result<(), EngineError> {
        self.container(container_id)?.process(exec_id)?;
        let resize = agent::ResizeRequest {
            container_id: container_id.to_owned(),
            exec_id: exec_id.to_owned(),
            columns,
            rows,
            ..Default::default()
        };
        let rpc = self.machine()?.agent().rpc();
        rpc.resize_terminal(request(), &resize)
            .await
            .map(drop)
            .map_err(agent_failed)
    }

    /// The container's processes, in the guest's numbering.
    ///
    /// # Errors
    /// If there is no such container.
    pub async fn pids(&self, container_id: &str) -> Result<Vec<u32>, EngineError> {
        let rpc = self.machine()?.agent().rpc();
        let listed = rpc
            .list_processes(request(), &container_ref(container_id))
            .await;
        listed.map(|listed| listed.pids).map_err(agent_failed)
    }

    /// Changes a container's limits; `resources` is OCI's object `linux.resources`.
    ///
    /// # Errors
    /// If there is no such container or the guest refuses.
    pub async fn update(&self, container_id: &str, resources: &[u8]) -> Result<(), EngineError> {
        self.container(container_id)?;
        let update = agent::UpdateContainerRequest {
            id: container_id.to_owned(),
            resources: resources.to_vec(),
            ..Default::default()
        };
        let rpc = self.machine()?.agent().rpc();
        rpc.update_container(request(), &update)
            .await
            .map(drop)
            .map_err(agent_failed)
    }

    /// Freezes or thaws a container.
    ///
    /// # Errors
    /// If there is no such container or the guest refuses.
    pub async fn pause(&self, container_id: &str, frozen: bool) -> Result<(), EngineError> {
        self.container(container_id)?;
        let reference = container_ref(container_id);
        let rpc = self.machine()?.agent().rpc();
        let done = if frozen {
            rpc.pause_container(request(), &reference).await
        } else {
            rpc.resume_container(request(), &reference).await
        };
        done.map(drop).map_err(agent_failed)
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

    /// What the Pod has used of the host.
    #[must_use]
    pub fn host_usage(&self) -> HostUsage {
        self.cgroup.usage()
    }

    /// What the guest says its containers use; all of them if `containers` is empty.
    ///
    /// # Errors
    /// If the guest does not answer.
    pub async fn stats(
        &self,
        containers: Vec<String>,
    ) -> Result<agent::StatsResponse, EngineError> {
        let ask = agent::StatsRequest {
            container_ids: containers,
            ..Default::default()
        };
        self.machine()?
            .agent()
            .rpc()
            .stats(request(), &ask)
            .await
            .map_err(agent_failed)
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

    fn all_containers(&self) -> Vec<Arc<Container>> {
        self.lock_containers().values().map(Arc::clone).collect()
    }

    fn lock_containers(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Container>>> {
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

fn process_ref(process: &Process) -> agent::ProcessRef {
    agent::ProcessRef {
        container_id: process.container_id.clone(),
        exec_id: process.exec_id.clone(),
        ..Default::default()
    }
}

fn container_ref(id: &str) -> agent::ContainerRef {
    agent::ContainerRef {
        id: id.to_owned(),
        ..Default::default()
    }
}

fn agent_failed(error: ttrpc::Error) -> EngineError {
    EngineError::Agent(error.into())
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
