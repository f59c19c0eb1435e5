//! What Pods were given and used: where the server asks for it.

use skete_ledger::Ledger;
use skete_usage::{PodUse, Span, Window, by_pod};

use crate::failure::{Failure, chain};
use crate::paths::Paths;

/// Bytes of journals that are read again at most, to tell of one Pod in detail.
const MAX_DETAIL: u64 = 256 << 20;

/// Pods' use, and what could not be read.
#[derive(Debug, Default)]
pub struct Uses {
    /// One for each Pod.
    pub pods: Vec<PodUse>,
    /// Why a journal is not in it, a line each.
    pub problems: Vec<String>,
}

/// What was given and used within a window, by Pod, as the ledger or the journals have it.
///
/// # Errors
/// The ledger cannot be read, or the journals cannot be looked for. A journal that is damaged is
/// among the problems.
pub fn uses(paths: &Paths, ledger: bool, window: Window) -> Result<Uses, Failure> {
    if ledger {
        let pods = Ledger::open(&paths.ledger())?
            .pod_uses(window)?
            .collect::<Result<_, _>>()?;
        return Ok(Uses {
            pods,
            problems: Vec::new(),
        });
    }
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

/// One Pod, its spans cut where the windows end, so that what was used between two heartbeats is
/// there where it was; `None` if that would take long. The windows follow each other.
///
/// # Errors
/// As for [`uses`].
pub fn in_detail(
    paths: &Paths,
    pod: &PodUse,
    windows: &[Window],
) -> Result<Option<PodUse>, Failure> {
    let mut fine = PodUse {
        spans: Vec::new(),
        ..pod.clone()
    };
    let mut left = MAX_DETAIL;
    for journal in paths.journals().all()? {
        let is_its = |used: &PodUse| used.pod.uid == pod.pod.uid;
        let Ok(Some(whole)) = journal.fold(Window::ALL).map(|used| used.filter(is_its)) else {
            continue;
        };
        let bytes = std::fs::metadata(&journal.path).map_or(0, |file| file.len());
        let cost = bytes.saturating_mul(windows.len() as u64);
        let Some(rest) = left.checked_sub(cost) else {
            return Ok(None);
        };
        left = rest;
        for window in windows {
            let lived = |span: &Span| span.start_ns < window.to_ns && window.from_ns < span.end_ns;
            if whole.spans.iter().any(lived)
                && let Ok(Some(used)) = journal.fold(*window)
            {
                fine.spans.extend(used.spans);
            }
        }
    }
    fine.spans.sort_by_key(|span| span.start_ns);
    Ok(Some(fine))
}

#[cfg(test)]
#[path = "uses_test.rs"]
mod tests;
