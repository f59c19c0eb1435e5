//! The two clocks of a record.

use std::fs;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A moment, as two clocks tell it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds since the machine's start, the time in which it was suspended included. Never
    /// goes back and never jumps: durations come from it.
    pub monotonic_ns: u64,
    /// Nanoseconds since the Unix epoch, leap seconds not counted. May be set by anybody at any
    /// time: only the first of a journal says when the Pod was.
    pub wall_ns: i64,
}

/// What tells the time.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Moment;
}

/// The machine's clocks.
///
/// The monotonic one is `CLOCK_BOOTTIME` and not `CLOCK_MONOTONIC`: a VM keeps its memory while the
/// machine sleeps, so these seconds are the Pod's too; and a clock that leaves them out would place
/// all that comes after too early.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment {
            monotonic_ns: u64::try_from(nanoseconds(clock_gettime(ClockId::Boottime))).unwrap_or(0),
            wall_ns: nanoseconds(clock_gettime(ClockId::Realtime)),
        }
    }
}

fn nanoseconds(time: Timespec) -> i64 {
    time.tv_sec
        .saturating_mul(1_000_000_000)
        .saturating_add(time.tv_nsec)
}

/// This boot of the machine, as the kernel names it; empty if it does not.
#[must_use]
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
