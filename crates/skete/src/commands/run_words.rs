//! What `skete run` says, and how.

use std::time::Duration;

use crate::failure::Failure;
use crate::output::{Table, eprint_line};
use crate::record::Timing;

/// A command as one would type it.
pub(super) fn typed(words: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    let quoted = |word: &String| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Each problem of a Pod file on a line of its own.
pub(super) fn lines(error: &skete_pod::ManifestError) -> Failure {
    let lines: Vec<_> = error.problems.iter().map(ToString::to_string).collect();
    Failure::own(lines.join("\n"))
}

pub(super) fn timing(phase: &str, took: Duration) -> Timing {
    Timing {
        phase: phase.to_owned(),
        nanoseconds: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
    }
}

pub(super) fn show_timings(timings: &[Timing]) {
    let mut table = Table::new(&["PHASE", "MS"]);
    for timing in timings {
        let milliseconds = timing.nanoseconds as f64 / 1e6;
        table.row(vec![timing.phase.clone(), format!("{milliseconds:.2}")]);
    }
    for line in table.render().lines() {
        eprint_line(line);
    }
}
