//! What a Pod was given and what it used.

use serde::{Deserialize, Serialize};

use crate::record::Size;

/// What a Pod was given and what it used, from the request for its VM to the VM's end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// How long the VM was there.
    pub seconds: f64,
    /// Its virtual processors.
    pub vcpus: u32,
    /// Its memory in MiB.
    pub memory_mib: u64,
    /// Processors × time.
    pub vcpu_seconds_provisioned: f64,
    /// Processor time of everything of the Pod on the host.
    pub vcpu_seconds_used: f64,
    /// Memory × time.
    pub mib_seconds_provisioned: f64,
    /// Memory really used, summed over time.
    pub mib_seconds_used: f64,
}

impl Receipt {
    /// The one line that `skete run` ends with.
    pub fn line(&self) -> String {
        format!(
            "{}, {} vCPU, {} MiB: {} vCPU-s and {} MiB-s provisioned, {} vCPU-s and {} MiB-s used",
            duration(self.seconds),
            self.vcpus,
            self.memory_mib,
            amount(self.vcpu_seconds_provisioned),
            amount(self.mib_seconds_provisioned),
            amount(self.vcpu_seconds_used),
            amount(self.mib_seconds_used),
        )
    }
}

fn duration(seconds: f64) -> String {
    if seconds < 100.0 {
        return format!("{seconds:.2} s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        format!("{hours} h {minutes} min {rest} s")
    } else {
        format!("{minutes} min {rest} s")
    }
}

fn amount(value: f64) -> String {
    if value < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

/// Adds up samples of a running Pod.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    cpu_ns: u64,
    mib_seconds: f64,
    last: Option<(f64, f64)>,
}

impl Meter {
    /// A sample: seconds since the start, processor time until now in nanoseconds, memory in
    /// bytes now. Between two samples memory is taken to change evenly; before the first it is
    /// taken to be what the first says. A counter that goes back is not believed.
    pub fn sample(&mut self, at: f64, cpu_ns: u64, memory_bytes: u64) {
        let mib = memory_bytes as f64 / f64::from(1 << 20);
        let (then, before) = self.last.unwrap_or((0.0, mib));
        if at >= then {
            self.mib_seconds += (at - then) * (mib + before) / 2.0;
            self.last = Some((at, mib));
        }
        self.cpu_ns = self.cpu_ns.max(cpu_ns);
    }

    /// The receipt of a VM of that size that was there for `seconds`. The monitor's own memory is
    /// not the Pod's: what was used is never more than what was provisioned.
    pub fn receipt(&self, size: Size, seconds: f64) -> Receipt {
        let seconds = seconds.max(0.0);
        let rest = match self.last {
            Some((then, mib)) if seconds > then => (seconds - then) * mib,
            _ => 0.0,
        };
        let provisioned = size.memory_mib as f64 * seconds;
        Receipt {
            seconds,
            vcpus: size.vcpus,
            memory_mib: size.memory_mib,
            vcpu_seconds_provisioned: f64::from(size.vcpus) * seconds,
            vcpu_seconds_used: self.cpu_ns as f64 / 1e9,
            mib_seconds_provisioned: provisioned,
            mib_seconds_used: (self.mib_seconds + rest).min(provisioned),
        }
    }
}

#[cfg(test)]
#[path = "receipt_test.rs"]
mod tests;
