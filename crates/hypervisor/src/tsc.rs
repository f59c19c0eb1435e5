//! The rate of the host's time-stamp counter, which an emulated guest reads as its own.
//!
//! A guest measures the rate against an emulated timer. On a busy machine that measurement is off
//! by any factor, and the guest's clocks run fast or slow by it; so the guest is told the rate.

use std::time::{Duration, Instant};

/// How long to measure. Reading both clocks takes well under a microsecond, so that this is exact
/// to a thousandth at least.
const MEASURE: Duration = Duration::from_millis(3);

/// Ticks per millisecond; nothing where there is no such counter.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
pub(crate) fn kilohertz() -> Option<u64> {
    // SAFETY: every x86-64 processor has the instruction, and it touches no memory.
    let ticks = || unsafe { std::arch::x86_64::_rdtsc() };
    let (start, first) = (Instant::now(), ticks());
    std::thread::sleep(MEASURE);
    let (elapsed, last) = (start.elapsed(), ticks());
    let nanoseconds = u64::try_from(elapsed.as_nanos()).ok()?;
    let ticks = last.checked_sub(first)?;
    (u128::from(ticks) * 1_000_000 / u128::from(nanoseconds))
        .try_into()
        .ok()
}

/// Ticks per millisecond; nothing where there is no such counter.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn kilohertz() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_measurements_agree_within_a_hundredth() {
        let [one, two] = [super::kilohertz(), super::kilohertz()].map(Option::unwrap);
        assert!(one.abs_diff(two) < one / 100, "{one} and {two} kHz");
    }
}
