//! What Pods were given and used: the one place where the commands ask for it.

use std::collections::BTreeMap;

use skete_usage::{Ended, PodUse, Window};

use crate::failure::{Failure, OWN_ERROR, chain};
use crate::paths::Paths;

/// Pods' use, and what could not be read.
#[derive(Debug, Default)]
pub struct Uses {
    /// One for each sandbox.
    pub pods: Vec<PodUse>,
    /// What is not in it.
    pub problems: Problems,
}

/// What could not be counted, a line each.
#[derive(Debug, Default)]
pub struct Problems(pub Vec<String>);

impl Problems {
    /// Tells of it on standard error; comes back with the exit code.
    pub fn tell(&self) -> u8 {
        for problem in &self.0 {
            crate::complain(&format!("not counted: {problem}"));
        }
        if self.0.is_empty() { 0 } else { OWN_ERROR }
    }
}

/// What was given and used within a window.
///
/// # Errors
/// The directory of the journals cannot be read. A journal that is damaged is among the problems.
pub fn uses(paths: &Paths, window: Window) -> Result<Uses, Failure> {
    let mut uses = Uses::default();
    for journal in paths.journals().all()? {
        match journal.fold(window) {
            Ok(used) => uses.pods.extend(used),
            Err(error) => uses.problems.0.push(chain(&error)),
        }
    }
    Ok(uses)
}

/// All there is to charge: each Pod whole, for a price list's clock counts from its beginning.
///
/// # Errors
/// As for [`uses`].
pub fn to_charge(paths: &Paths) -> Result<Uses, Failure> {
    let mut all = uses(paths, Window::ALL)?;
    all.pods = by_pod(all.pods);
    Ok(all)
}

/// A Pod may have had several sandboxes, one after another: it is charged as one.
fn by_pod(sandboxes: Vec<PodUse>) -> Vec<PodUse> {
    let mut pods: BTreeMap<String, PodUse> = BTreeMap::new();
    let mut sandboxes = sandboxes;
    sandboxes.sort_by_key(|used| used.spans.first().map_or(i64::MAX, |span| span.start_ns));
    for used in sandboxes {
        let Some(pod) = pods.get_mut(&used.pod.uid) else {
            pods.insert(used.pod.uid.clone(), used);
            continue;
        };
        pod.spans.extend(used.spans);
        pod.container_starts = pod.container_starts.saturating_add(used.container_starts);
        pod.image_bytes = pod.image_bytes.saturating_add(used.image_bytes);
        if pod.ended != Ended::Running {
            pod.ended = used.ended;
        }
    }
    pods.into_values().collect()
}

#[cfg(test)]
#[path = "uses_test.rs"]
mod tests;
