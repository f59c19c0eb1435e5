//! How long a start takes, and how much of it is the host's work.

use std::collections::HashMap;
use std::process::Command;
use std::time::Instant;

use super::{Bench, RUNS, Rows, median, ms};
use crate::command::Failure;

/// From the typed command until the container runs.
const WHOLE: &str = "from the command to a container";
/// The monitor's own start, from its first instruction until it takes commands.
const MONITOR: &str = "engine: monitor";
/// What passes while the engine waits for the guest.
const GUEST: &[&str] = &[
    "engine: guest-boot",
    "engine: configure",
    "engine: volumes",
    "engine: create",
    "engine: start",
];

/// What `--timings` shows: phases and milliseconds.
pub(super) type Phases = HashMap<String, f64>;

/// Runs a Pod that takes `--timings`.
pub(super) fn phases(command: &mut Command) -> Result<Phases, Failure> {
    let output = command
        .output()
        .map_err(|error| Failure::io("skete", &error))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(Failure::new(format!(
            "a Pod that was measured failed: {stderr}"
        )));
    }
    let line = |line: &str| {
        let (phase, milliseconds) = line.trim().rsplit_once(' ')?;
        Some((phase.trim().to_owned(), milliseconds.parse().ok()?))
    };
    Ok(stderr.lines().filter_map(line).collect())
}

/// The host's work: all that is neither the guest's nor the monitor's own.
fn host(phases: &Phases) -> Option<f64> {
    let mut not_ours = GUEST.iter().chain([&MONITOR]);
    not_ours.try_fold(*phases.get(WHOLE)?, |rest, phase| {
        Some(rest - phases.get(*phase)?)
    })
}

pub(super) fn rows(bench: &Bench) -> Result<Rows, Failure> {
    let mut all: HashMap<&str, Vec<f64>> = HashMap::new();
    for _ in 0..RUNS {
        let started = Instant::now();
        let phases = phases(&mut bench.hello(&["--timings"], &["true"]))?;
        let whole = started.elapsed().as_secs_f64() * 1000.0;
        let missing = || Failure::new(format!("a phase is missing: {phases:?}"));
        let mut put = |what, value| all.entry(what).or_default().push(value);
        put("`skete run … true`, whole command", whole);
        put(
            "host's side of a start, less guest and monitor",
            host(&phases).ok_or_else(missing)?,
        );
        for (what, phase) in [
            ("QEMU's own start, until it takes commands", MONITOR),
            ("guest's uptime at agent-ready", "engine: guest-uptime"),
        ] {
            put(what, *phases.get(phase).ok_or_else(missing)?);
        }
    }
    let mut rows: Rows = all
        .into_iter()
        .map(|(what, values)| (format!("{what}, median of {RUNS}"), ms(median(values))))
        .collect();
    rows.sort();
    Ok(rows)
}
