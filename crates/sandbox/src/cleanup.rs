//! Takes down what is left of a sandbox whose engine is dead, from its id alone. Also the last
//! step of an orderly end, so that both are the same code.

use std::fs;

use crate::cgroup::PodCgroup;
use crate::error::EngineError;
use crate::layout::Layout;
use crate::scratch;

/// Writes down where the sandbox's cgroup is, before it is made.
///
/// # Errors
/// If the file cannot be written.
pub fn remember_cgroup(layout: &Layout, cgroup: &PodCgroup) -> Result<(), EngineError> {
    let path = layout.cgroup_file();
    fs::write(&path, cgroup.path()).map_err(|source| EngineError::Io {
        action: "write",
        path,
        source,
    })
}

/// Kills every process in the sandbox's cgroup, and removes the cgroup, the scratch disk, the
/// sockets and everything else of it. The network namespace is its maker's; the taps in it went
/// with the monitor. Fine if nothing is there.
///
/// # Errors
/// If something does not go away; a further call may succeed.
pub fn remove(layout: &Layout) -> Result<(), EngineError> {
    // Written before the cgroup was made; if it is not there, neither is the cgroup.
    if let Ok(path) = fs::read_to_string(layout.cgroup_file()) {
        let cgroup = PodCgroup::new(&path)?;
        cgroup.kill()?;
        cgroup.remove()?;
    }
    let removed = scratch::uncount(layout).and_then(|()| layout.remove());
    removed.map_err(|source| EngineError::Io {
        action: "remove",
        path: layout.run().to_owned(),
        source,
    })
}
