//! Takes away everything of a Pod but its record: the same way after a good end and after a
//! crash, and may be repeated.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::failure::chain;
use crate::files;
use crate::net;
use crate::paths::Paths;
use crate::process::Process;
use crate::record::PodId;
use crate::shim_client::{self, ShimClient, ShimRecord};
use crate::shim_process;
use crate::socket;

/// A shim that was asked to end has so long.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

/// What could not be taken away.
#[derive(Debug, thiserror::Error)]
#[error("left behind: {}", .0.join("; "))]
pub struct LeftBehind(Vec<String>);

/// Ends the sandbox in good order: the VM, then the shim. Whether all went well; if not, there is
/// something for [`clean`] to do.
pub async fn end_sandbox(shim: &ShimClient, record: Option<&ShimRecord>, grace: Duration) -> bool {
    let mut well = true;
    if let Err(error) = shim.stop_sandbox(grace).await
        && !error.is_not_found()
    {
        tracing::warn!(%error, "cannot stop the sandbox");
        well = false;
    }
    if let Err(error) = shim.shutdown().await
        && !error.is_gone()
    {
        tracing::warn!(%error, "cannot shut the shim down");
        well = false;
    }
    let Some(record) = record else {
        return false;
    };
    let deadline = Instant::now() + SHUTDOWN_PATIENCE;
    while record.process.is_alive() {
        if Instant::now() >= deadline {
            tracing::warn!(pid = record.process.pid, "the shim does not end");
            return false;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    well
}

/// Takes away everything of a Pod but its record. With `sandbox_gone` the engine has already
/// taken away its own.
///
/// # Errors
/// Something could not be taken away; all else was.
pub async fn clean(paths: &Paths, id: &PodId, sandbox_gone: bool) -> Result<(), LeftBehind> {
    let mut left = Vec::new();
    if !sandbox_gone {
        // First the shim: it must not make things while they are taken away.
        match shim_client::read_record(paths, id) {
            Some(shim) => shim.process.kill(),
            // Its follower was killed before it had put down which process it is.
            None => kill_listeners(&paths.pod_sockets(id)).await,
        }
        if has_sandbox(paths, id)
            && let Err(error) = shim_process::delete(paths, id).await
        {
            left.push(chain(&error));
        }
    }
    if let Err(error) = net::remove(paths, id).await {
        left.push(chain(&error));
    }
    for directory in [paths.pod_sockets(id), paths.run_pod(id)] {
        remove(&directory, &mut left);
    }
    if let Err(error) = files::remove_file(&paths.pod_input(id)) {
        left.push(format!("{}: {error}", paths.pod_input(id).display()));
    }
    crate::images::release(paths, id, &mut left);
    if left.is_empty() {
        Ok(())
    } else {
        Err(LeftBehind(left))
    }
}

/// Kills whoever listens at a socket of the directory, this process aside.
async fn kill_listeners(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let listener = socket::listener(&entry.path()).await;
        let process = listener.filter(|pid| *pid != std::process::id());
        if let Some(process) = process.and_then(Process::of) {
            process.kill();
        }
    }
}

/// Whether the engine may have something of this Pod's.
fn has_sandbox(paths: &Paths, id: &PodId) -> bool {
    let state = paths.root.join("sandboxes").join(crate::paths::NAMESPACE);
    paths.sandbox_bundle(id).exists()
        || paths.sandboxes().join(id.as_str()).exists()
        || state.join(id.as_str()).exists()
}

fn remove(directory: &Path, left: &mut Vec<String>) {
    if let Err(error) = files::remove_tree(directory) {
        left.push(format!("{}: {error}", directory.display()));
    }
}
