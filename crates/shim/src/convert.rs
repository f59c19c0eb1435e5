//! Between the engine's words and containerd's messages.

use std::time::{SystemTime, UNIX_EPOCH};

use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::ttrpc;
use skete_sandbox::error::{EngineError, Kind};
use skete_sandbox::process::{Status, Stdio};

use containerd_shim_protos::types::task::Status as TaskStatus;

/// A point in time as protobuf has it.
pub fn timestamp(time: SystemTime) -> MessageField<Timestamp> {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    MessageField::some(Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        // Below 10⁹ by definition.
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
        ..Timestamp::default()
    })
}

/// The engine's error as a ttrpc status that containerd's clients understand.
pub fn status(error: &EngineError) -> ttrpc::Error {
    let code = match error.kind() {
        Kind::NotFound => ttrpc::Code::NOT_FOUND,
        Kind::AlreadyExists => ttrpc::Code::ALREADY_EXISTS,
        Kind::FailedPrecondition => ttrpc::Code::FAILED_PRECONDITION,
        Kind::InvalidArgument => ttrpc::Code::INVALID_ARGUMENT,
        Kind::PermissionDenied => ttrpc::Code::PERMISSION_DENIED,
        Kind::Internal => ttrpc::Code::UNKNOWN,
    };
    ttrpc::Error::RpcStatus(ttrpc::get_status(code, error.chain()))
}

/// The FIFOs of a request. containerd names them as paths, or as `fifo://` URLs.
pub fn stdio(
    terminal: bool,
    stdin: &str,
    stdout: &str,
    stderr: &str,
) -> Result<Stdio, EngineError> {
    let path = |name: &str| match name.split_once("://") {
        None => Ok(name.into()),
        Some(("fifo", path)) => Ok(path.split('?').next().unwrap_or_default().into()),
        Some((scheme, _)) => Err(EngineError::InvalidArgument(format!(
            "stdio by `{scheme}://` is not supported: use FIFOs"
        ))),
    };
    Ok(Stdio {
        terminal,
        stdin: path(stdin)?,
        stdout: path(stdout)?,
        stderr: path(stderr)?,
    })
}

/// Where a process stands, in containerd's words.
pub fn task_status(status: Status) -> TaskStatus {
    match status {
        Status::Created => TaskStatus::CREATED,
        Status::Running => TaskStatus::RUNNING,
        Status::Exited(_) => TaskStatus::STOPPED,
    }
}

#[cfg(test)]
#[path = "convert_test.rs"]
mod tests;
