//! The actions that containerd runs the shim's executable with, beside `start`: `delete`, which
//! cleans up after a daemon that is dead, and `-info`.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::{self, Message};
use containerd_shim_protos::types::introspection::RuntimeInfo;
use skete_sandbox::cleanup;
use skete_sandbox::error::EngineError;
use skete_sandbox::layout::{Layout, LayoutError, Roots};

use crate::convert::timestamp;
use crate::flags::Flags;
use crate::start::{StartError, start, write_reply};

/// The runtime's name.
const RUNTIME: &str = "io.containerd.skete.v2";
/// 128 + SIGKILL: what is left of a sandbox is killed.
const KILLED: u32 = 137;
/// The mount types that the engine takes as they are, for it makes disks of them.
pub const MOUNT_TYPES: [&str; 5] = ["erofs", "ext4", "overlay", "bind", "loop"];
/// The steps on the way to such a mount that containerd leaves to the engine.
pub const MOUNT_TRANSFORMS: [&str; 3] = ["format", "mkfs", "mkdir"];
/// Where containerd 2.2 and 2.3 look for both, a transform with `/*` after it.
const MOUNTS_ANNOTATION: &str = "containerd.io/runtime-allow-mounts";

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// An action that no containerd asks for.
    #[error("unknown action {0:?}: it is `start`, `delete`, or none")]
    Unknown(String),
    /// `start`.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A name that leaves the sandbox's directory.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// `delete`.
    #[error(transparent)]
    Delete(#[from] EngineError),
    /// The reply.
    #[error("encode the reply")]
    Encode(#[source] protobuf::Error),
    /// Standard output.
    #[error("write the reply")]
    Write(#[source] io::Error),
}

/// Does what the command line asks.
///
/// # Errors
/// The action fails or is unknown, or nobody reads the reply.
pub fn act(flags: &Flags) -> Result<(), ActionError> {
    if flags.info {
        return reply(&runtime_info());
    }
    match flags.action.as_str() {
        "start" => Ok(start(flags)?),
        "delete" => delete(flags),
        other => Err(ActionError::Unknown(other.to_owned())),
    }
}

fn delete(flags: &Flags) -> Result<(), ActionError> {
    let layout = Layout::new(&Roots::from_env(), &flags.namespace, &flags.id)?;
    cleanup::remove(&layout)?;
    remove_socket(Path::new("bootstrap.json"));
    reply(&DeleteResponse {
        exit_status: KILLED,
        exited_at: timestamp(SystemTime::now()),
        ..DeleteResponse::default()
    })
}

fn runtime_info() -> RuntimeInfo {
    let transforms = MOUNT_TRANSFORMS.map(|name| format!("{name}/*"));
    let mounts = MOUNT_TYPES.map(str::to_owned);
    let allowed: Vec<_> = mounts.into_iter().chain(transforms).collect();
    RuntimeInfo {
        name: RUNTIME.to_owned(),
        annotations: [(MOUNTS_ANNOTATION.to_owned(), allowed.join(","))].into(),
        ..RuntimeInfo::default()
    }
}

fn reply(message: &impl Message) -> Result<(), ActionError> {
    let bytes = message.write_to_bytes().map_err(ActionError::Encode)?;
    write_reply(&bytes).map_err(ActionError::Write)
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

#[cfg(test)]
#[path = "actions_test.rs"]
mod tests;
