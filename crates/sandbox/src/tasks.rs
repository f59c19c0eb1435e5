//! The containers of a sandbox and their processes: what containerd's Task API asks for.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use skete_agent_api::agent;
use skete_usage::Event as Used;
use tokio::sync::oneshot;

use crate::agent::{request, unlimited};
use crate::blocks::Wanted;
use crate::container::{Container, ContainerRequest, read_spec};
use crate::error::{EngineError, Kind};
use crate::process::{Exit, Process, Status, Stdio};
use crate::resize::Allowance;
use crate::sandbox::{Event, Sandbox, agent_failed};
use crate::timings::Stopwatch;
use crate::vm::Machine;
use crate::volumes::Volumes;

/// What the kubelet reads of a termination log, in bytes.
const MAX_TERMINATION_LOG: u64 = 4096;

impl Sandbox {
    /// Plugs in a container's layers, gives the guest its volumes, and prepares the container.
    ///
    /// # Errors
    /// If the request is unsound or the guest refuses; the container is then not there.
    pub async fn create_container(
        self: &Arc<Self>,
        asked: ContainerRequest,
    ) -> Result<(), EngineError> {
        let id = asked.id.clone();
        let (tell, told) = oneshot::channel();
        let sandbox = Arc::clone(self);
        // The caller's future ends with its connection, as containerd closes it when the kubelet is
        // killed. A volume that is half given would be missing in the next container.
        tokio::spawn(async move {
            let id = asked.id.clone();
            let created = sandbox.make_container(asked).await;
            if let Err(Ok(())) = tell.send(created)
                && let Err(error) = sandbox.delete(&id, "").await
            {
                tracing::warn!(error = error.chain(), id, "delete what nobody waits for");
            }
        });
        told.await.unwrap_or(Err(EngineError::WrongState {
            what: "container",
            id,
            state: "was not made: its task has ended",
        }))
    }

    async fn make_container(&self, asked: ContainerRequest) -> Result<(), EngineError> {
        let machine = self.machine()?;
        if self.container(&asked.id).is_ok() {
            return Err(EngineError::AlreadyExists {
                what: "container",
                id: asked.id,
            });
        }
        let stopwatch = Stopwatch::start();
        let mut spec = read_spec(&asked.bundle)?;
        let placed = self
            .lock_volumes()
            .place(&mut spec, &self.config, &self.policy)?;
        for (serial, file) in &placed.disks {
            machine.attach_scratch(serial, file).await?;
        }
        machine.put_volumes(&placed.requests).await?;
        for (name, layers) in placed.images {
            let mut volume = agent::PutVolumeRequest {
                name,
                ..Default::default()
            };
            volume.set_image(machine.attach_layers(&layers).await?);
            machine.put_volumes(&[volume]).await?;
        }
        let wanted = Wanted::take(&mut spec);
        self.timings.record("volumes", stopwatch);
        let stopwatch = Stopwatch::start();
        let disk = machine.attach_layers(&asked.rootfs.layers).await?;
        self.timings.record("layers", stopwatch);
        let stopwatch = Stopwatch::start();
        let serial = disk.serial.clone();
        let container = Container::new(&asked, serial.clone(), placed.termination_log);
        container.set_allowance(Allowance::of(&spec["linux"]["resources"]));
        let container = Arc::new(container);
        let created = async {
            // Not held while the guest makes the container: others of the Pod are made meanwhile.
            let block_devices = self
                .blocks
                .lock()
                .await
                .attach(machine, &asked.id, &wanted)
                .await?;
            let create = agent::CreateContainerRequest {
                id: asked.id.clone(),
                spec: spec.to_string().into_bytes(),
                rootfs: Some(disk).into(),
                terminal: asked.stdio.terminal,
                writable_limit: asked.rootfs.writable_bytes,
                block_devices,
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
            self.blocks.lock().await.release(machine, &asked.id).await;
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
        let process = self.container(container_id)?.process(exec_id)?;
        let sandbox = Arc::clone(self);
        let starting = Arc::clone(&process);
        // As with `create_container`: a process must not run in the guest that does not here.
        let started = tokio::spawn(async move { sandbox.start_in_guest(&starting).await });
        started
            .await
            .unwrap_or_else(|_| Err(wrong_state(&process, "was not started: its task has ended")))
    }

    async fn start_in_guest(self: &Arc<Self>, process: &Arc<Process>) -> Result<u32, EngineError> {
        let machine = Arc::clone(self.machine()?);
        let _starting = process.starting().await;
        if process.status() != Status::Created {
            return Err(wrong_state(process, "has been started already"));
        }
        let stopwatch = Stopwatch::start();
        let is_init = process.exec_id.is_empty();
        if !is_init {
            process.connect(machine.agent()).await?;
        }
        let reference = process_ref(process);
        machine
            .agent()
            .rpc()
            .start_process(request(), &reference)
            .await
            .map_err(agent_failed)?;
        process.set_running();
        if is_init {
            self.timings.record("start", stopwatch);
            self.meter.tell(Used::Start(process.container_id.clone()));
        }
        let pid = machine.pid();
        tokio::spawn(Arc::clone(self).watch_process(machine, Arc::clone(process)));
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
        if process.exec_id.is_empty() {
            self.keep_termination_log(&machine, &process.container_id)
                .await;
        }
        let exit = Exit {
            code: answer.exit_code & 0xff,
            at: SystemTime::now(),
            oom_killed: answer.oom_killed,
        };
        if process.set_exited(exit) {
            self.publish_exit(&process, exit);
        }
    }

    /// Gives the kubelet a container's last words, in the file where it looks for them.
    async fn keep_termination_log(&self, machine: &Machine, container_id: &str) {
        let Ok(container) = self.container(container_id) else {
            return;
        };
        let Some(log) = &container.termination_log else {
            return;
        };
        let wanted = agent::ReadVolumeFileRequest {
            volume: log.volume.clone(),
            path: log.file.clone(),
            max_bytes: MAX_TERMINATION_LOG,
            ..Default::default()
        };
        let rpc = machine.agent().rpc();
        let read = rpc.read_volume_file(request(), &wanted).await;
        let kept = read
            .map_err(std::io::Error::other)
            .and_then(|read| log.keep(&read.content));
        if let Err(error) = kept {
            tracing::warn!(%error, container_id, "keep the termination message");
        }
    }

    /// Follows the files that the kubelet keeps current, until the sandbox ends. A look at a link
    /// once a second costs less than an inotify instance, of which a user has 128.
    pub(crate) async fn follow_volumes(self: Arc<Self>, machine: Arc<Machine>) {
        const EVERY: Duration = Duration::from_secs(1);
        loop {
            tokio::select! {
                _ = self.wait() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let changes = self.lock_volumes().changes();
            if let Err(error) = machine.put_volumes(&changes).await {
                tracing::warn!(error = error.chain(), "bring volumes up to date");
            }
        }
    }

    pub(crate) fn lock_volumes(&self) -> MutexGuard<'_, Volumes> {
        self.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn publish_exit(&self, process: &Process, exit: Exit) {
        let container_id = process.container_id.clone();
        if process.exec_id.is_empty() {
            self.meter.tell(Used::Exit(container_id.clone(), exit.code));
        }
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
        let starting = process.starting().await;
        match process.status() {
            // As runc: a container that was never started ends by SIGKILL or SIGTERM.
            Status::Created => {
                process.disconnect().await;
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
                    id: name(&process),
                });
            }
            Status::Running => drop(starting),
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
        let _starting = process.starting().await;
        let exit = match process.status() {
            Status::Exited(exit) => exit,
            Status::Created => Exit {
                code: 0,
                at: SystemTime::now(),
                oom_killed: false,
            },
            Status::Running => return Err(wrong_state(&process, "is running")),
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
                && error.kind() != Kind::NotFound
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
            if exec_id.is_empty() && self.exit.borrow().is_none() {
                let mut blocks = self.blocks.lock().await;
                blocks.release(machine, container_id).await;
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
        done.map_err(agent_failed)?;
        let container = container_id.to_owned();
        self.meter.tell(match frozen {
            true => Used::Pause(container),
            false => Used::Resume(container),
        });
        Ok(())
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
}

fn wrong_state(process: &Process, state: &'static str) -> EngineError {
    EngineError::WrongState {
        what: "process",
        id: name(process),
        state,
    }
}

/// A process as a message names it.
fn name(process: &Process) -> String {
    format!("{} {}", process.container_id, process.exec_id)
        .trim_end()
        .to_owned()
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
