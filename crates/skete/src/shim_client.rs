//! The client of `containerd-shim-skete-v2`: speaks containerd's Sandbox API and Task API to it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerd_shim_protos::api::{
    CloseIORequest, ConnectRequest, CreateTaskRequest, DeleteRequest, ExecProcessRequest,
    KillRequest, Mount, PidsRequest, ResizePtyRequest, ShutdownRequest, StartRequest, StatsRequest,
    WaitRequest, WaitResponse,
};
use containerd_shim_protos::sandbox_api::{
    CreateSandboxRequest, SandboxMetricsRequest, SandboxStatusRequest, SandboxStatusResponse,
    ShutdownSandboxRequest, StartSandboxRequest, StopSandboxRequest, WaitSandboxRequest,
};
use containerd_shim_protos::sandbox_async::SandboxClient;
use containerd_shim_protos::shim_async::{Client, TaskClient};
use protobuf::Message;
use protobuf::well_known_types::any::Any;
use serde::{Deserialize, Serialize};
use ttrpc::Code;
use ttrpc::context::{Context, with_duration, with_timeout};

use crate::failure::one_line;
use crate::paths::Paths;
use crate::process::Process;
use crate::record::PodId;

/// Most calls only ask the engine or the guest for a moment.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Making a VM and a container may take a while under emulation on a busy machine.
const CREATE_TIMEOUT: Duration = Duration::from_secs(180);

/// What can go wrong with a shim.
#[derive(Debug, thiserror::Error)]
pub enum ShimError {
    /// The program could not be executed.
    #[error("cannot execute {program}")]
    Execute {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended with an error.
    #[error("the shim's {action} failed: {message}")]
    Action {
        /// `start` or `delete`.
        action: &'static str,
        /// The end of what it wrote to standard error.
        message: String,
    },
    /// It took too long.
    #[error("the shim's {action} took longer than {} s", timeout.as_secs())]
    TimedOut {
        /// `start` or `delete`.
        action: &'static str,
        /// How long it was given.
        timeout: Duration,
    },
    /// Its reply is not what containerd's bootstrap protocol says.
    #[error("the shim's reply to {action} cannot be read")]
    Reply {
        /// `start` or `delete`.
        action: &'static str,
        /// Why.
        #[source]
        source: protobuf::Error,
    },
    /// It speaks another protocol.
    #[error("the shim speaks {protocol} version {version}: ttrpc version 3 is wanted")]
    Protocol {
        /// Its word for the protocol.
        protocol: String,
        /// Its version of the Task API.
        version: i32,
    },
    /// It cannot be reached.
    #[error("cannot reach the shim at {address}: {message}")]
    Connect {
        /// Its socket.
        address: String,
        /// Why.
        message: String,
    },
    /// It answered with an error.
    #[error("{message}")]
    Rpc {
        /// Its code.
        code: Code,
        /// What it said.
        message: String,
    },
    /// The connection broke: it is gone.
    #[error("the shim is gone: {0}")]
    Gone(String),
}

impl ShimError {
    /// Whether what was asked for is not there (any more).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Rpc { code, .. } if *code == Code::NOT_FOUND)
    }

    /// Whether the shim itself is gone.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::Connect { .. })
    }
}

impl From<ttrpc::Error> for ShimError {
    fn from(error: ttrpc::Error) -> Self {
        match error {
            ttrpc::Error::RpcStatus(status) => Self::Rpc {
                code: status.code(),
                message: one_line(&status.message),
            },
            other => Self::Gone(one_line(&other.to_string())),
        }
    }
}

/// What is known of a Pod's shim, kept in its runtime directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShimRecord {
    /// Its socket.
    pub address: String,
    /// Its process.
    pub process: Process,
}

/// A process to start in a guest: of a container or an exec.
#[derive(Debug, Clone, Default)]
pub struct Io {
    /// Whether it has a terminal.
    pub terminal: bool,
    /// FIFO for its standard input; empty: none.
    pub stdin: String,
    /// FIFO for its standard output.
    pub stdout: String,
    /// FIFO for its standard error; empty: none.
    pub stderr: String,
}

impl Io {
    /// For FIFOs that have been made.
    pub fn new(fifos: &crate::fifo::Paths, terminal: bool) -> Self {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Self {
            terminal,
            stdin: fifos.stdin.as_deref().map(text).unwrap_or_default(),
            stdout: text(&fifos.stdout),
            stderr: fifos.stderr.as_deref().map(text).unwrap_or_default(),
        }
    }
}

/// A connection to one shim. Clones share it.
#[derive(Clone)]
pub struct ShimClient {
    id: String,
    task: TaskClient,
    sandbox: SandboxClient,
}

impl ShimClient {
    /// Connects to a shim.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn connect(id: &PodId, address: &str) -> Result<Self, ShimError> {
        let client = Client::connect(address)
            .await
            .map_err(|error| ShimError::Connect {
                address: address.to_owned(),
                message: one_line(&error.to_string()),
            })?;
        Ok(Self {
            id: id.to_string(),
            task: TaskClient::new(client.clone()),
            sandbox: SandboxClient::new(client),
        })
    }

    /// Connects to the shim of a running Pod.
    ///
    /// # Errors
    /// Its address is not known, or it cannot be reached.
    pub async fn of_pod(paths: &Paths, id: &PodId) -> Result<Self, ShimError> {
        let record = read_record(paths, id).ok_or_else(|| ShimError::Connect {
            address: paths.shim_file(id).display().to_string(),
            message: "the Pod has no shim now".to_owned(),
        })?;
        Self::connect(id, &record.address).await
    }

    /// Process id of the shim.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn shim_pid(&self) -> Result<u32, ShimError> {
        let mut request = ConnectRequest::new();
        request.id.clone_from(&self.id);
        Ok(self.task.connect(soon(), &request).await?.shim_pid)
    }

    /// Makes the sandbox ready: nothing runs yet.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn create_sandbox(
        &self,
        bundle: &Path,
        netns: &str,
        config: &impl Message,
        annotations: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ShimError> {
        let mut request = CreateSandboxRequest::new();
        request.sandbox_id.clone_from(&self.id);
        request.bundle_path = bundle.to_string_lossy().into_owned();
        request.netns_path = netns.to_owned();
        request.annotations = annotations.into_iter().collect();
        let mut options = Any::new();
        options.type_url = "runtime.v1.PodSandboxConfig".to_owned();
        options.value = config
            .write_to_bytes()
            .map_err(|error| ShimError::Gone(error.to_string()))?;
        request.options = Some(options).into();
        let context = with_duration(CREATE_TIMEOUT);
        self.sandbox.create_sandbox(context, &request).await?;
        Ok(())
    }

    /// Starts the VM and waits for its agent.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn start_sandbox(&self) -> Result<(), ShimError> {
        let mut request = StartSandboxRequest::new();
        request.sandbox_id.clone_from(&self.id);
        let context = with_duration(CREATE_TIMEOUT);
        self.sandbox.start_sandbox(context, &request).await?;
        Ok(())
    }

    /// Waits for the sandbox's end.
    ///
    /// # Errors
    /// The shim is gone.
    pub async fn wait_sandbox(&self) -> Result<u32, ShimError> {
        let mut request = WaitSandboxRequest::new();
        request.sandbox_id.clone_from(&self.id);
        let response = self.sandbox.wait_sandbox(for_ever(), &request).await?;
        Ok(response.exit_status)
    }

    /// The sandbox's state, with what the engine tells about it.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn sandbox_status(&self) -> Result<SandboxStatusResponse, ShimError> {
        let mut request = SandboxStatusRequest::new();
        request.sandbox_id.clone_from(&self.id);
        request.verbose = true;
        Ok(self.sandbox.sandbox_status(soon(), &request).await?)
    }

    /// What everything of the sandbox uses on the host.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn sandbox_metrics(&self) -> Result<Any, ShimError> {
        let mut request = SandboxMetricsRequest::new();
        request.sandbox_id.clone_from(&self.id);
        let response = self.sandbox.sandbox_metrics(soon(), &request).await?;
        Ok(response.metrics.data.clone().unwrap_or_default())
    }

    /// Ends the VM; containers that still run are killed after `grace`.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn stop_sandbox(&self, grace: Duration) -> Result<(), ShimError> {
        let mut request = StopSandboxRequest::new();
        request.sandbox_id.clone_from(&self.id);
        request.timeout_secs = u32::try_from(grace.as_secs()).unwrap_or(u32::MAX);
        let context = with_duration(grace + CALL_TIMEOUT);
        self.sandbox.stop_sandbox(context, &request).await?;
        Ok(())
    }

    /// Ends the shim.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn shutdown(&self) -> Result<(), ShimError> {
        let mut request = ShutdownSandboxRequest::new();
        request.sandbox_id.clone_from(&self.id);
        let down = self.sandbox.shutdown_sandbox(soon(), &request).await;
        let mut request = ShutdownRequest::new();
        request.id.clone_from(&self.id);
        // A shim whose sandbox is down may end before it answers.
        let _ = self.task.shutdown(soon(), &request).await;
        match down.map_err(ShimError::from) {
            // It never came to a sandbox.
            Err(error) if error.is_not_found() => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    /// Makes a container; its process waits for [`Self::start`].
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn create(
        &self,
        id: &str,
        bundle: &Path,
        rootfs: Vec<Mount>,
        io: Io,
    ) -> Result<u32, ShimError> {
        let mut request = CreateTaskRequest::new();
        request.id = id.to_owned();
        request.bundle = bundle.to_string_lossy().into_owned();
        request.rootfs = rootfs;
        request.terminal = io.terminal;
        request.stdin = io.stdin;
        request.stdout = io.stdout;
        request.stderr = io.stderr;
        let context = with_duration(CREATE_TIMEOUT);
        Ok(self.task.create(context, &request).await?.pid)
    }

    /// Starts the process of a container, or of an exec in it.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn start(&self, id: &str, exec: &str) -> Result<u32, ShimError> {
        let mut request = StartRequest::new();
        request.id = id.to_owned();
        request.exec_id = exec.to_owned();
        let context = with_duration(CREATE_TIMEOUT);
        Ok(self.task.start(context, &request).await?.pid)
    }

    /// Waits for the end of a process.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn wait(&self, id: &str, exec: &str) -> Result<WaitResponse, ShimError> {
        let mut request = WaitRequest::new();
        request.id = id.to_owned();
        request.exec_id = exec.to_owned();
        Ok(self.task.wait(for_ever(), &request).await?)
    }

    /// Sends a signal to a process, or to all of a container.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn kill(
        &self,
        id: &str,
        exec: &str,
        signal: u32,
        all: bool,
    ) -> Result<(), ShimError> {
        let mut request = KillRequest::new();
        request.id = id.to_owned();
        request.exec_id = exec.to_owned();
        request.signal = signal;
        request.all = all;
        self.task.kill(soon(), &request).await?;
        Ok(())
    }

    /// Makes a further process of a container; it waits for [`Self::start`].
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn exec(
        &self,
        id: &str,
        exec: &str,
        process: Vec<u8>,
        io: Io,
    ) -> Result<(), ShimError> {
        let mut request = ExecProcessRequest::new();
        request.id = id.to_owned();
        request.exec_id = exec.to_owned();
        request.terminal = io.terminal;
        request.stdin = io.stdin;
        request.stdout = io.stdout;
        request.stderr = io.stderr;
        let mut spec = Any::new();
        spec.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned();
        spec.value = process;
        request.spec = Some(spec).into();
        self.task.exec(soon(), &request).await?;
        Ok(())
    }

    /// Sets a terminal's size.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn resize(
        &self,
        id: &str,
        exec: &str,
        columns: u16,
        rows: u16,
    ) -> Result<(), ShimError> {
        let mut request = ResizePtyRequest::new();
        request.id = id.to_owned();
        request.exec_id = exec.to_owned();
        request.width = u32::from(columns);
        request.height = u32::from(rows);
        self.task.resize_pty(soon(), &request).await?;
        Ok(())
    }

    /// Tells that nothing more comes for a process's standard input.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn close_stdin(&self, id: &str, exec: &str) -> Result<(), ShimError> {
        let mut request = CloseIORequest::new();
        request.id = id.to_owned();
        request.exec_id = exec.to_owned();
        request.stdin = true;
        self.task.close_io(soon(), &request).await?;
        Ok(())
    }

    /// Forgets an ended process.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn delete(&self, id: &str, exec: &str) -> Result<(), ShimError> {
        let mut request = DeleteRequest::new();
        request.id = id.to_owned();
        request.exec_id = exec.to_owned();
        self.task.delete(soon(), &request).await?;
        Ok(())
    }

    /// Process ids of a container, as the guest counts them.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn pids(&self, id: &str) -> Result<Vec<u32>, ShimError> {
        let mut request = PidsRequest::new();
        request.id = id.to_owned();
        let response = self.task.pids(soon(), &request).await?;
        Ok(response.processes.into_iter().map(|p| p.pid).collect())
    }

    /// What a container uses.
    ///
    /// # Errors
    /// As every call: the shim says no, or is gone.
    pub async fn stats(&self, id: &str) -> Result<Any, ShimError> {
        let mut request = StatsRequest::new();
        request.id = id.to_owned();
        let response = self.task.stats(soon(), &request).await?;
        Ok(response.stats.unwrap_or_default())
    }
}

/// What is known of a Pod's shim.
pub fn read_record(paths: &Paths, id: &PodId) -> Option<ShimRecord> {
    let bytes = crate::files::read_bounded(&paths.shim_file(id), 64 << 10).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Puts down what is known of a Pod's shim.
///
/// # Errors
/// It cannot be written.
pub fn write_record(paths: &Paths, id: &PodId, record: &ShimRecord) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(record)?;
    bytes.push(b'\n');
    crate::files::write_atomically(&paths.shim_file(id), &bytes, 0o600)
}

fn soon() -> Context {
    with_duration(CALL_TIMEOUT)
}

fn for_ever() -> Context {
    with_timeout(0)
}
