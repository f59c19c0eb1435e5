//! What Pods were given and used: where the server asks for it.

use skete_usage::{PodUse, Window, by_pod};

use crate::failure::{Failure, chain};
use crate::paths::Paths;

/// Pods' use, and what could not be read.
#[derive(Debug, Default)]
pub struct Uses {
    /// One for each Pod.
    pub pods: Vec<PodUse>,
    /// Why a journal is not in it, a line each.
    pub problems: Vec<String>,
}

/// What was given and used within a window, by Pod.
///
/// # Errors
/// The journals cannot be looked for. One that is damaged is among the problems.
pub fn uses(paths: &Paths, window: Window) -> Result<Uses, Failure> {
    let mut pods = Vec::new();
    let mut problems = Vec::new();
    for journal in paths.journals().all()? {
        match journal.fold(window) {
            Ok(used) => pods.extend(used),
            Err(error) => problems.push(chain(&error)),
        }
    }
    Ok(Uses {
        pods: by_pod(pods),
        problems,
    })
}
