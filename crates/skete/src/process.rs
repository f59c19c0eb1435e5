//! A process of the host that is told from a later one with the same number.

use serde::{Deserialize, Serialize};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process: its number, and when it began in clock ticks since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`.
    pub began: u64,
}

impl Process {
    /// The process that has this number now.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            began: began(pid)?,
        })
    }

    /// Whether it is still there and has not ended.
    pub fn is_alive(&self) -> bool {
        began(self.pid) == Some(self.began)
    }

    /// Kills it, if it is still there.
    pub fn kill(&self) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return;
        };
        // The descriptor names one process: if the number is still the right one's after it was
        // opened, the signal cannot go astray.
        if let Ok(descriptor) = pidfd_open(pid, PidfdFlags::empty())
            && self.is_alive()
        {
            let _ = pidfd_send_signal(descriptor, Signal::KILL);
        }
    }
}

fn began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // A zombie has ended.
    if matches!(fields.first(), Some(&"Z" | &"X")) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
#[path = "process_test.rs"]
mod tests;
