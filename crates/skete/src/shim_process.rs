//! The program `containerd-shim-skete-v2`, started as containerd 2.3 and later do: the parameters
//! on its standard input, its answer on standard output.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use protobuf::Message;
use tokio::io::AsyncWriteExt;

use crate::failure::one_line;
use crate::paths::{NAMESPACE, Paths, SHIM, program};
use crate::record::PodId;
use crate::shim_client::ShimError;

/// containerd waits so long for a shim's `start`.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// A shim's `delete` has so long; a VM that does not die at once is waited for.
const DELETE_TIMEOUT: Duration = Duration::from_secs(30);
/// A shim's reply is small.
const MAX_REPLY: usize = 1 << 20;

/// Starts a shim in its bundle directory, and comes back with the address it listens at.
///
/// # Errors
/// It cannot be executed, fails, takes too long, or speaks another protocol.
pub async fn start(paths: &Paths, id: &PodId) -> Result<String, ShimError> {
    let mut params = BootstrapParams::new();
    params.instance_id = id.to_string();
    params.namespace = NAMESPACE.to_owned();
    params.containerd_ttrpc_address = paths.events_socket(id).to_string_lossy().into_owned();
    params.socket_dir = Some(paths.pod_sockets(id).to_string_lossy().into_owned());
    let input = params.write_to_bytes().map_err(|source| ShimError::Reply {
        action: "start",
        source,
    })?;
    let output = run(
        paths,
        id,
        "start",
        &paths.sandbox_bundle(id),
        &[],
        &input,
        START_TIMEOUT,
    )
    .await?;
    let reply = BootstrapResult::parse_from_bytes(&output).map_err(|source| ShimError::Reply {
        action: "start",
        source,
    })?;
    if reply.protocol != "ttrpc" || reply.version != 3 {
        return Err(ShimError::Protocol {
            protocol: reply.protocol,
            version: reply.version,
        });
    }
    Ok(reply.address)
}

/// Cleans up after a shim that is gone, or ends one that is not: the VM, its helpers, network
/// devices, disks and directories. May be repeated.
///
/// # Errors
/// It cannot be executed, fails, or takes too long.
pub async fn delete(paths: &Paths, id: &PodId) -> Result<DeleteResponse, ShimError> {
    let bundle = paths.sandbox_bundle(id);
    let arguments = ["-bundle".as_ref(), bundle.as_os_str()];
    let directory = if bundle.is_dir() {
        bundle.as_path()
    } else {
        Path::new("/")
    };
    let output = run(
        paths,
        id,
        "delete",
        directory,
        &arguments,
        &[],
        DELETE_TIMEOUT,
    )
    .await?;
    DeleteResponse::parse_from_bytes(&output).map_err(|source| ShimError::Reply {
        action: "delete",
        source,
    })
}

async fn run(
    paths: &Paths,
    id: &PodId,
    action: &'static str,
    directory: &Path,
    arguments: &[&std::ffi::OsStr],
    input: &[u8],
    timeout: Duration,
) -> Result<Vec<u8>, ShimError> {
    let program = program(SHIM);
    let failed = |source| ShimError::Execute {
        program: program.clone(),
        source,
    };
    let mut child = tokio::process::Command::new(&program)
        .current_dir(directory)
        .args(["-namespace", NAMESPACE, "-address", "", "-id", id.as_str()])
        .args(arguments)
        .arg(action)
        .env("TTRPC_ADDRESS", paths.events_socket(id))
        .env("GRPC_ADDRESS", "")
        .env("NAMESPACE", NAMESPACE)
        .env(crate::paths::ROOT_ENV, &paths.root)
        .env(crate::paths::RUN_ROOT_ENV, &paths.run_root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A shim that does not read its input fails by its exit code.
        let _ = stdin.write_all(input).await;
    }
    let output = tokio::time::timeout(timeout, child.wait_with_output())
        .await
        .map_err(|_| ShimError::TimedOut { action, timeout })?
        .map_err(failed)?;
    if !output.status.success() || output.stdout.len() > MAX_REPLY {
        let text = String::from_utf8_lossy(&output.stderr);
        let mut message = one_line(text.trim());
        if message.is_empty() {
            message = output.status.to_string();
        }
        return Err(ShimError::Action { action, message });
    }
    if !output.stderr.is_empty() {
        let text = String::from_utf8_lossy(&output.stderr);
        tracing::warn!(action, message = %one_line(text.trim()), "shim");
    }
    Ok(output.stdout)
}
