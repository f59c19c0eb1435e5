//! The guest's clock and entropy.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

use crate::sys;

/// Time since the guest was started, nanoseconds, also while it was suspended.
pub(crate) fn boottime_ns() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds)
}

/// Sets the time of day: nanoseconds since 1970. A clock that is right within a millisecond is
/// left alone.
pub(crate) fn set(realtime_ns: u64) -> io::Result<()> {
    let now = crate::reaper::realtime_ns();
    if now.abs_diff(realtime_ns) < 1_000_000 {
        return Ok(());
    }
    let time = Timespec {
        tv_sec: i64::try_from(realtime_ns / 1_000_000_000).map_err(io::Error::other)?,
        tv_nsec: i64::try_from(realtime_ns % 1_000_000_000).map_err(io::Error::other)?,
    };
    Ok(clock_settime(ClockId::Realtime, time)?)
}

/// Credits the host's entropy.
pub(crate) fn add_entropy(bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    sys::credit_entropy(File::open("/dev/urandom")?.as_fd(), bytes)
}
