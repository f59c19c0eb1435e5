//! The action `start`: leaves a daemon behind and tells containerd where it listens.
//!
//! From 2.3 on containerd writes a `BootstrapParams` to the shim's standard input and reads a
//! `BootstrapResult` from its standard output; before, it sets variables and reads JSON
//! (containerd: `docs/runtime-v2.md`, "Bootstrap Protocol").

use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use containerd_shim_protos::TASK_API_VERSION;
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult, LogLevel};
use containerd_shim_protos::protobuf::{self, CodedOutputStream, Message};
use sha2::{Digest, Sha256};

use crate::actions::{MOUNT_TRANSFORMS, MOUNT_TYPES};
use crate::flags::Flags;

/// Where the daemon finds the address of containerd's events service.
pub const TTRPC_ADDRESS: &str = "TTRPC_ADDRESS";
/// The protocol of the shim's socket.
const TTRPC: &str = "ttrpc";
/// containerd reads and writes no more either.
const MAX_INPUT: u64 = 10 << 20;
/// Where sockets are, if containerd names no directory.
const SOCKETS: &str = "/run/containerd/s";
/// `OOM_SCORE_ADJ_MAX` of Linux.
const MAX_OOM_SCORE: i32 = 1000;

/// Why no daemon was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Standard input.
    #[error("read the parameters from standard input")]
    Read(#[source] io::Error),
    /// Parameters for another shim.
    #[error("the parameters are those of {namespace}/{id}, not of what the command line names")]
    Mismatch {
        /// The namespace in them.
        namespace: String,
        /// The id in them.
        id: String,
    },
    /// Nobody to tell of a Pod's end.
    #[error("neither the parameters nor {TTRPC_ADDRESS} name containerd's events service")]
    NoEvents,
    /// The daemon.
    #[error("start the daemon")]
    Spawn(#[source] io::Error),
    /// The daemon's place among those that the kernel kills first.
    #[error("set the daemon's OOM score")]
    OomScore(#[source] io::Error),
    /// The reply.
    #[error("encode the reply")]
    Encode(#[source] protobuf::Error),
    /// Standard output.
    #[error("write the reply")]
    Write(#[source] io::Error),
}

/// Starts the daemon in this directory, and tells containerd its address.
///
/// # Errors
/// There are no parameters, the daemon does not start, or nobody reads the reply. No daemon is
/// left behind then.
pub fn start(flags: &Flags) -> Result<(), StartError> {
    let mut input = Vec::new();
    let stdin = io::stdin();
    // Nobody has to be asked for parameters who starts this by hand.
    if !stdin.is_terminal() {
        let mut bounded = stdin.lock().take(MAX_INPUT);
        bounded.read_to_end(&mut input).map_err(StartError::Read)?;
    }
    let request = Request::read(&input, flags, std::env::var(TTRPC_ADDRESS).ok())?;
    let address = format!("unix://{}", request.socket(flags));
    let mut daemon = request.spawn(flags, &address)?;
    let replied = lower(&daemon).and_then(|()| {
        // The daemon closes its standard output as soon as it serves.
        if let Some(mut stdout) = daemon.stdout.take() {
            io::copy(&mut stdout, &mut io::stderr()).map_err(StartError::Spawn)?;
        }
        write_reply(&request.reply(&address)?).map_err(StartError::Write)
    });
    if replied.is_err() {
        // It may have ended of itself.
        let _ = daemon.kill();
        let _ = daemon.wait();
    }
    replied
}

/// What containerd asks for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    /// Whether containerd reads a `BootstrapResult`.
    messages: bool,
    /// Of containerd's events service.
    events: String,
    /// Where the socket goes.
    directory: String,
    debug: bool,
}

impl Request {
    fn read(input: &[u8], flags: &Flags, events: Option<String>) -> Result<Self, StartError> {
        let params = BootstrapParams::parse_from_bytes(input).unwrap_or_default();
        let messages = params.instance_id == flags.id && params.namespace == flags.namespace;
        // Options of a runtime, an `Any`, are what older versions write: they read as parameters
        // with an id and a namespace only.
        let named_only = BootstrapParams {
            instance_id: params.instance_id.clone(),
            namespace: params.namespace.clone(),
            ..BootstrapParams::default()
        };
        if !messages && params != named_only {
            return Err(StartError::Mismatch {
                namespace: params.namespace,
                id: params.instance_id,
            });
        }
        let (events, level) = if messages {
            (params.containerd_ttrpc_address, params.log_level.value())
        } else {
            (events.unwrap_or_default(), LogLevel::LOG_LEVEL_INFO as i32)
        };
        if events.is_empty() {
            return Err(StartError::NoEvents);
        }
        let directory = params
            .socket_dir
            .filter(|named| messages && !named.is_empty());
        Ok(Self {
            messages,
            events,
            directory: directory.unwrap_or_else(|| SOCKETS.to_owned()),
            debug: flags.debug || level <= LogLevel::LOG_LEVEL_DEBUG as i32,
        })
    }

    /// The socket's path: containerd's own rule, so that no two sandboxes share one.
    fn socket(&self, flags: &Flags) -> String {
        let named = Path::new(&flags.address)
            .join(&flags.namespace)
            .join(&flags.id);
        let digest = Sha256::digest(named.as_os_str().as_encoded_bytes());
        let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}/{name}", self.directory.trim_end_matches('/'))
    }

    fn spawn(&self, flags: &Flags, address: &str) -> Result<Child, StartError> {
        let mut daemon = Command::new(std::env::current_exe().map_err(StartError::Spawn)?);
        daemon
            .args(["-namespace", &flags.namespace, "-id", &flags.id])
            .args(["-address", &flags.address, "-socket", address])
            .args(self.debug.then_some("-debug"))
            .env(TTRPC_ADDRESS, &self.events)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        daemon.spawn().map_err(StartError::Spawn)
    }

    fn reply(&self, address: &str) -> Result<Vec<u8>, StartError> {
        if !self.messages {
            let reply = serde_json::json!({
                "version": TASK_API_VERSION,
                "address": address,
                "protocol": TTRPC,
            });
            return Ok(reply.to_string().into_bytes());
        }
        let reply = BootstrapResult {
            version: TASK_API_VERSION,
            address: address.to_owned(),
            protocol: TTRPC.to_owned(),
            ..BootstrapResult::default()
        };
        let mut bytes = reply.write_to_bytes().map_err(StartError::Encode)?;
        // Messages of one type that follow each other are read as one.
        bytes.extend(mount_capabilities().map_err(StartError::Encode)?);
        Ok(bytes)
    }
}

/// Tells containerd, which reads standard output to its end.
pub fn write_reply(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// A shim is killed before containerd, but not before the containers of others: one more than
/// containerd's own score, as runc's shim has it.
fn lower(daemon: &Child) -> Result<(), StartError> {
    let path = |pid: u32| format!("/proc/{pid}/oom_score_adj");
    let parent = fs::read_to_string(path(std::os::unix::process::parent_id()));
    let score: i32 = parent
        .map_err(StartError::OomScore)?
        .trim()
        .parse()
        .map_err(|_| StartError::OomScore(io::ErrorKind::InvalidData.into()))?;
    if score >= MAX_OOM_SCORE {
        return Ok(());
    }
    fs::write(path(daemon.id()), (score + 1).to_string()).map_err(StartError::OomScore)
}

/// A `BootstrapResult` that holds nothing but a `containerd.types.MountCapabilities`, newer than
/// the messages of `containerd-shim-protos` (containerd 2.4: `api/types/mount.proto`, and
/// `extensions`, field 6, in `api/runtime/bootstrap/v1/bootstrap.proto`).
fn mount_capabilities() -> Result<Vec<u8>, protobuf::Error> {
    let types = MOUNT_TYPES.map(|name| (1, name.as_bytes()));
    let transforms = MOUNT_TRANSFORMS.map(|name| (2, name.as_bytes()));
    let capabilities: Vec<_> = types.into_iter().chain(transforms).collect();
    let value = message(&capabilities)?;
    let any = message(&[(1, b"containerd.types.MountCapabilities"), (2, &value)])?;
    let extension = message(&[(1, &any)])?;
    message(&[(6, &extension)])
}

/// A message of strings, bytes and messages, by their numbers.
fn message(fields: &[(u32, &[u8])]) -> Result<Vec<u8>, protobuf::Error> {
    let mut bytes = Vec::new();
    let mut stream = CodedOutputStream::vec(&mut bytes);
    for (number, value) in fields {
        stream.write_bytes(*number, value)?;
    }
    stream.flush()?;
    drop(stream);
    Ok(bytes)
}

#[cfg(test)]
#[path = "start_test.rs"]
mod tests;
