//! The actions that containerd runs the shim's executable with: `start`, which leaves a daemon
//! behind and says where it listens; `delete`, which cleans up after a daemon that is dead; and
//! `-info`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use containerd_shim::asynchronous::{Shim, run, spawn};
use containerd_shim::publisher::RemotePublisher;
use containerd_shim::util::timestamp;
use containerd_shim::{Config, Error, Flags, StartOpts};
use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::CodedOutputStream;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim_async::Task;
use containerd_shim_protos::types::introspection::RuntimeInfo;
use skete_sandbox::cleanup;
use skete_sandbox::layout::{Layout, Roots};

/// The runtime's name.
const RUNTIME: &str = "io.containerd.skete.v2";
/// 128 + SIGKILL: what is left of a sandbox is killed.
const KILLED: u32 = 137;
/// The mount types that the engine takes as they are, for it makes disks of them.
const MOUNT_TYPES: [&str; 5] = ["erofs", "ext4", "overlay", "bind", "loop"];
/// The steps on the way to such a mount that containerd leaves to the engine.
const MOUNT_TRANSFORMS: [&str; 3] = ["format", "mkfs", "mkdir"];
/// Where containerd 2.2 and 2.3 look for both, a transform with `/*` after it.
const MOUNTS_ANNOTATION: &str = "containerd.io/runtime-allow-mounts";

/// Does what the command line asks.
pub async fn act() {
    let config = Config {
        no_setup_logger: true,
        no_sub_reaper: true,
        ..Config::default()
    };
    run::<Action>(RUNTIME, Some(config)).await;
}

struct Action {
    namespace: String,
    id: String,
}

/// The daemon is [`crate::serve`], so that these actions never make a task service.
struct Never;

#[async_trait]
impl Task for Never {}

#[async_trait]
impl Shim for Action {
    type T = Never;

    async fn new(_runtime: &str, flags: &Flags, _config: &mut Config) -> Self {
        Self {
            namespace: flags.namespace.clone(),
            id: flags.id.clone(),
        }
    }

    async fn start_shim(&mut self, opts: StartOpts) -> Result<String, Error> {
        let grouping = opts.id.clone();
        // Only a containerd that reads a `BootstrapResult` (2.3) tells its version.
        let reads_result = !opts.containerd_version.is_empty();
        let address = spawn(opts, &grouping, Vec::new()).await?;
        if reads_result {
            // `containerd-shim` writes the address after this: messages of one type that follow
            // each other are read as one (protobuf's "last one wins, repeated fields are joined").
            io::stdout()
                .write_all(&mount_capabilities()?)
                .map_err(|error| Error::Other(format!("write the reply: {error}")))?;
        }
        Ok(address)
    }

    async fn delete_shim(&mut self) -> Result<DeleteResponse, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Other(error.to_string());
        let layout = Layout::new(&Roots::from_env(), &self.namespace, &self.id)
            .map_err(|error| failed(&error))?;
        cleanup::remove(&layout).map_err(|error| failed(&error.chain()))?;
        remove_socket(Path::new("bootstrap.json"));
        Ok(DeleteResponse {
            exit_status: KILLED,
            exited_at: Some(timestamp()?).into(),
            ..DeleteResponse::default()
        })
    }

    fn runtime_info(runtime: &str, _options: Option<&Any>) -> Result<RuntimeInfo, Error> {
        let transforms = MOUNT_TRANSFORMS.map(|name| format!("{name}/*"));
        let mounts = MOUNT_TYPES.map(str::to_owned);
        let allowed: Vec<_> = mounts.into_iter().chain(transforms).collect();
        Ok(RuntimeInfo {
            name: runtime.to_owned(),
            annotations: [(MOUNTS_ANNOTATION.to_owned(), allowed.join(","))].into(),
            ..Default::default()
        })
    }

    async fn wait(&mut self) {}

    async fn create_task_service(&self, _publisher: RemotePublisher) -> Never {
        Never
    }
}

/// Removes the socket of a shim that was killed. containerd keeps in the bundle, where it runs the
/// `delete` action, what the shim told it by `start`.
fn remove_socket(bootstrap: &Path) {
    let address = fs::read(bootstrap).ok().and_then(|text| {
        let told: serde_json::Value = serde_json::from_slice(&text).ok()?;
        Some(
            told["address"]
                .as_str()?
                .strip_prefix("unix://")?
                .to_owned(),
        )
    });
    let Some(socket) = address.map(PathBuf::from) else {
        return;
    };
    let is_socket = |meta: fs::Metadata| meta.file_type().is_socket();
    // One that somebody listens on is another's.
    if socket.symlink_metadata().is_ok_and(is_socket) && UnixStream::connect(&socket).is_err() {
        let _ = fs::remove_file(&socket);
    }
}

/// A `BootstrapResult` that holds nothing but a `containerd.types.MountCapabilities`, newer than
/// the messages of `containerd-shim-protos` (containerd 2.4: `api/types/mount.proto`, and
/// `extensions`, field 6, in `api/runtime/bootstrap/v1/bootstrap.proto`).
fn mount_capabilities() -> Result<Vec<u8>, Error> {
    let types = MOUNT_TYPES.map(|name| (1, name.as_bytes()));
    let transforms = MOUNT_TRANSFORMS.map(|name| (2, name.as_bytes()));
    let capabilities: Vec<_> = types.into_iter().chain(transforms).collect();
    let value = message(&capabilities)?;
    let any = message(&[(1, b"containerd.types.MountCapabilities"), (2, &value)])?;
    let extension = message(&[(1, &any)])?;
    message(&[(6, &extension)])
}

/// A message of strings, bytes and messages, by their numbers.
fn message(fields: &[(u32, &[u8])]) -> Result<Vec<u8>, Error> {
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
#[path = "bootstrap_test.rs"]
mod tests;
