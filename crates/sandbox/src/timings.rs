//! How long each phase of a sandbox's start took.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Phases in the order in which they ended. Cheap, and always on.
#[derive(Debug, Default)]
pub struct Timings {
    phases: Mutex<Vec<(String, Duration)>>,
}

/// A stretch of time that ends when it is recorded.
#[derive(Debug)]
#[must_use]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Timings {
    /// Records that `phase` lasted from the stopwatch's start until now.
    pub fn record(&self, phase: &str, stopwatch: Stopwatch) {
        self.record_duration(phase, stopwatch.0.elapsed());
    }

    /// Records how long `phase` lasted.
    pub fn record_duration(&self, phase: &str, duration: Duration) {
        let mut phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        // A Pod can start containers again and again; what is told is how it began.
        if phases.len() < 256 {
            phases.push((phase.to_owned(), duration));
        }
    }

    /// For `SandboxStatus`: `timing.NNN.PHASE` and nanoseconds, NNN keeping the order.
    #[must_use]
    pub fn as_info(&self) -> BTreeMap<String, String> {
        let phases = self.phases.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |(index, (phase, duration)): (usize, &(String, Duration))| {
            (
                format!("timing.{index:03}.{phase}"),
                duration.as_nanos().to_string(),
            )
        };
        phases.iter().enumerate().map(line).collect()
    }
}
