//! The ttrpc service.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use protobuf::MessageField;
use rustix::process::{Pid, Signal, kill_process};
use skete_agent_api::agent::{
    ConfigureSandboxRequest, ContainerRef, CreateContainerRequest, CreateExecRequest, Empty,
    HelloRequest, HelloResponse, ListProcessesResponse, ProcessRef, ProcessResponse,
    PutVolumeRequest, ReadVolumeFileRequest, ReadVolumeFileResponse, ResizeRequest,
    SetClockRequest, SignalRequest, StatsRequest, StatsResponse, UpdateContainerRequest,
    WaitResponse,
};
use skete_agent_api::agent_ttrpc;
use ttrpc::r#async::TtrpcContext;

use crate::container::Container;
use crate::failure::{Failure, Kind};
use crate::process::Process;
use crate::reaper::Reaper;
use crate::sandbox::Sandbox;
use crate::volumes::Volumes;
use crate::{clock, is_id, lock, power, stats, volumes};

/// What the agent knows.
pub(crate) struct Agent {
    reaper: Arc<Reaper>,
    sandbox: Sandbox,
    volumes: Volumes,
    containers: Mutex<HashMap<String, Arc<Container>>>,
    /// Ids of containers that are being made.
    claimed: Mutex<HashSet<String>>,
    listening_ns: u64,
}

/// An id that is in use until this goes.
struct Claim<'a> {
    agent: &'a Agent,
    id: String,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        lock(&self.agent.claimed).remove(&self.id);
    }
}

impl Agent {
    /// An agent that has nothing yet. `listening_ns` is the guest's uptime when it began to listen.
    pub(crate) fn new(reaper: Arc<Reaper>, listening_ns: u64) -> Self {
        Self {
            reaper,
            sandbox: Sandbox::default(),
            volumes: Volumes::default(),
            containers: Mutex::default(),
            claimed: Mutex::default(),
            listening_ns,
        }
    }

    fn container(&self, id: &str) -> Result<Arc<Container>, Failure> {
        lock(&self.containers)
            .get(id)
            .cloned()
            .ok_or_else(|| Failure::new(Kind::NotFound, format!("no container `{id}`")))
    }

    /// A process; the empty exec id is the container's first.
    pub(crate) fn process(&self, id: &str, exec_id: &str) -> Result<Arc<Process>, Failure> {
        self.container(id)?.process(exec_id)
    }

    fn claim(&self, id: &str) -> Result<Claim<'_>, Failure> {
        check_id(id)?;
        let exists = lock(&self.containers).contains_key(id);
        if exists || !lock(&self.claimed).insert(id.to_owned()) {
            return Err(Failure::new(
                Kind::AlreadyExists,
                format!("a container `{id}` exists already"),
            ));
        }
        Ok(Claim {
            agent: self,
            id: id.to_owned(),
        })
    }

    async fn create(&self, request: CreateContainerRequest) -> Result<ProcessResponse, Failure> {
        let claim = self.claim(&request.id)?;
        let pids = self.sandbox.shared_pids(&request.spec).await?;
        let container = Container::create(request, pids, Arc::clone(&self.reaper)).await?;
        let pid = container.process("")?.pid().unwrap_or_default();
        lock(&self.containers).insert(claim.id.clone(), Arc::new(container));
        Ok(pid_response(pid))
    }

    fn signal(&self, request: &SignalRequest) -> Result<(), Failure> {
        let container = self.container(&request.container_id)?;
        let process = container.process(&request.exec_id)?;
        let number = i32::try_from(request.signal).ok();
        let signal = number
            .filter(|number| (1..=64).contains(number))
            .ok_or_else(|| {
                Failure::new(
                    Kind::InvalidArgument,
                    format!("{} is no signal", request.signal),
                )
            })?;
        // One that can be sent but has no name, like a real-time signal, is as good.
        let signal = Signal::from_named_raw(signal)
            .ok_or_else(|| Failure::new(Kind::InvalidArgument, format!("{signal} is no signal")))?;
        let cannot = |error: std::io::Error| {
            Failure::new(Kind::Internal, format!("cannot send the signal: {error}"))
        };
        if request.all {
            return container.cgroup.signal(signal).map_err(cannot);
        }
        let gone = || Failure::new(Kind::NotFound, "the process has ended, or never started");
        if process.exit().is_some() {
            return Err(gone());
        }
        // It is our child and not reaped, so the id is still its.
        let pid = process.pid().and_then(Pid::from_raw).ok_or_else(gone)?;
        kill_process(pid, signal).map_err(|error| cannot(error.into()))
    }

    async fn delete(&self, request: &ProcessRef) -> Result<(), Failure> {
        let container = self.container(&request.container_id)?;
        if !request.exec_id.is_empty() {
            return container.delete_exec(&request.exec_id);
        }
        container.check_removable()?;
        container.remove().await?;
        lock(&self.containers).remove(&request.container_id);
        Ok(())
    }

    fn usage(&self, request: &StatsRequest) -> Result<StatsResponse, Failure> {
        let ids = if request.container_ids.is_empty() {
            lock(&self.containers).keys().cloned().collect()
        } else {
            request.container_ids.clone()
        };
        let mut response = StatsResponse {
            sandbox: MessageField::some(stats::of_guest()),
            agent_memory_bytes: stats::of_agent(),
            ..StatsResponse::default()
        };
        for id in ids {
            let usage = stats::of_cgroup(self.container(&id)?.cgroup.path());
            response.containers.insert(id, usage);
        }
        Ok(response)
    }
}

fn check_id(id: &str) -> Result<(), Failure> {
    if is_id(id) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::InvalidArgument,
        format!("`{id}` is no id: 1 to 128 letters, digits, `_`, `-` and `.`"),
    ))
}

fn pid_response(pid: i32) -> ProcessResponse {
    ProcessResponse {
        pid: u32::try_from(pid).unwrap_or(0),
        ..ProcessResponse::default()
    }
}

fn done(result: Result<(), Failure>) -> ttrpc::Result<Empty> {
    result?;
    Ok(Empty::default())
}

#[async_trait]
impl agent_ttrpc::Agent for Agent {
    async fn hello(&self, _: &TtrpcContext, _: HelloRequest) -> ttrpc::Result<HelloResponse> {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let trimmed = |path| read(path).trim_end().to_owned();
        Ok(HelloResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: trimmed("/proc/sys/kernel/osrelease"),
            uptime_ns: self.listening_ns,
            boot_id: trimmed("/proc/sys/kernel/random/boot_id"),
            ..HelloResponse::default()
        })
    }

    async fn configure_sandbox(
        &self,
        _: &TtrpcContext,
        request: ConfigureSandboxRequest,
    ) -> ttrpc::Result<Empty> {
        done(self.sandbox.configure(&request).await)
    }

    async fn put_volume(
        &self,
        _: &TtrpcContext,
        request: PutVolumeRequest,
    ) -> ttrpc::Result<Empty> {
        done(self.volumes.put(request).await)
    }

    async fn read_volume_file(
        &self,
        _: &TtrpcContext,
        request: ReadVolumeFileRequest,
    ) -> ttrpc::Result<ReadVolumeFileResponse> {
        Ok(ReadVolumeFileResponse {
            content: volumes::read(&request)?,
            ..ReadVolumeFileResponse::default()
        })
    }

    async fn create_container(
        &self,
        _: &TtrpcContext,
        request: CreateContainerRequest,
    ) -> ttrpc::Result<ProcessResponse> {
        Ok(self.create(request).await?)
    }

    async fn create_exec(
        &self,
        _: &TtrpcContext,
        request: CreateExecRequest,
    ) -> ttrpc::Result<Empty> {
        check_id(&request.exec_id)?;
        let container = self.container(&request.container_id)?;
        done(container.add_exec(request.exec_id, request.process, request.terminal))
    }

    async fn start_process(
        &self,
        _: &TtrpcContext,
        request: ProcessRef,
    ) -> ttrpc::Result<ProcessResponse> {
        let container = self.container(&request.container_id)?;
        let pid = container.start(&request.exec_id).await?;
        Ok(pid_response(pid))
    }

    async fn signal_process(
        &self,
        _: &TtrpcContext,
        request: SignalRequest,
    ) -> ttrpc::Result<Empty> {
        done(self.signal(&request))
    }

    async fn wait_process(
        &self,
        _: &TtrpcContext,
        request: ProcessRef,
    ) -> ttrpc::Result<WaitResponse> {
        let process = self.process(&request.container_id, &request.exec_id)?;
        let (exit, oom_killed) = process
            .wait()
            .await
            .ok_or_else(|| Failure::new(Kind::Internal, "the process was forgotten"))?;
        Ok(WaitResponse {
            exit_code: exit.code,
            exited_at_ns: exit.at_ns,
            oom_killed,
            ..WaitResponse::default()
        })
    }

    async fn resize_terminal(
        &self,
        _: &TtrpcContext,
        request: ResizeRequest,
    ) -> ttrpc::Result<Empty> {
        let process = self.process(&request.container_id, &request.exec_id)?;
        let pty = process.pty().ok_or_else(|| {
            Failure::new(Kind::FailedPrecondition, "the process has no terminal yet")
        })?;
        let bounded = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let resized = pty.resize(bounded(request.columns), bounded(request.rows));
        done(resized.map_err(|error| Failure::internal(&error)))
    }

    async fn close_stdin(&self, _: &TtrpcContext, request: ProcessRef) -> ttrpc::Result<Empty> {
        let process = self.process(&request.container_id, &request.exec_id)?;
        process.close_stdin.notify_one();
        Ok(Empty::default())
    }

    async fn delete_process(&self, _: &TtrpcContext, request: ProcessRef) -> ttrpc::Result<Empty> {
        done(self.delete(&request).await)
    }

    async fn list_processes(
        &self,
        _: &TtrpcContext,
        request: ContainerRef,
    ) -> ttrpc::Result<ListProcessesResponse> {
        let pids = self.container(&request.id)?.cgroup.pids();
        let pids = pids.into_iter().filter_map(|pid| u32::try_from(pid).ok());
        Ok(ListProcessesResponse {
            pids: pids.collect(),
            ..ListProcessesResponse::default()
        })
    }

    async fn update_container(
        &self,
        _: &TtrpcContext,
        request: UpdateContainerRequest,
    ) -> ttrpc::Result<Empty> {
        let container = self.container(&request.id)?;
        done(container.cgroup.update(&request.resources))
    }

    async fn pause_container(
        &self,
        _: &TtrpcContext,
        request: ContainerRef,
    ) -> ttrpc::Result<Empty> {
        done(self.container(&request.id)?.cgroup.freeze(true).await)
    }

    async fn resume_container(
        &self,
        _: &TtrpcContext,
        request: ContainerRef,
    ) -> ttrpc::Result<Empty> {
        done(self.container(&request.id)?.cgroup.freeze(false).await)
    }

    async fn stats(&self, _: &TtrpcContext, request: StatsRequest) -> ttrpc::Result<StatsResponse> {
        Ok(self.usage(&request)?)
    }

    async fn set_clock(&self, _: &TtrpcContext, request: SetClockRequest) -> ttrpc::Result<Empty> {
        let set = clock::set(request.realtime_ns);
        done(set.map_err(|error| {
            Failure::new(Kind::Internal, format!("cannot set the clock: {error}"))
        }))
    }

    async fn power_off(&self, _: &TtrpcContext, _: Empty) -> ttrpc::Result<Empty> {
        tokio::spawn(async {
            // Time for the answer to leave.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            power::off().await;
        });
        Ok(Empty::default())
    }
}
