//! The cluster's processes: started apart from this one, recorded such that no other process is
//! ever taken for one of them, and ended.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::command::Failure;

/// How often something that must happen soon is looked for.
pub(crate) const POLL: Duration = Duration::from_millis(100);

/// A process that is told from a later one of the same number by the moment it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// In the kernel's ticks since the machine started.
    started: u64,
    /// Which start of the machine.
    boot: String,
}

impl Process {
    /// The living process of that number.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Some(Self {
            pid,
            started: started(pid)?,
            boot: boot(),
        })
    }

    /// What was recorded with [`Process::record`], whether it lives or not.
    pub(crate) fn recorded(file: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(file).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        Some(Self {
            pid: words.next()?.parse().ok()?,
            started: words.next()?.parse().ok()?,
            boot: words.next()?.to_owned(),
        })
    }

    /// Writes it down.
    pub(crate) fn record(&self, file: &Path) -> Result<(), Failure> {
        let text = format!("{} {} {}\n", self.pid, self.started, self.boot);
        fs::write(file, text).map_err(|error| Failure::io(file.display(), &error))
    }

    /// Whether it runs; one that has ended and was not waited for does not.
    pub(crate) fn lives(&self) -> bool {
        started(self.pid) == Some(self.started) && boot() == self.boot
    }

    /// Sends a signal, and only to this process: the descriptor is taken before it is looked at.
    fn signal(&self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return;
        };
        if let Ok(process) = pidfd_open(pid, PidfdFlags::empty())
            && self.lives()
        {
            // It may have ended since.
            let _ = pidfd_send_signal(process, signal);
        }
    }

    /// Kills it, and does not wait.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Ends it: by SIGTERM, and by SIGKILL if it is still there after `grace`.
    pub(crate) fn end(&self, grace: Duration) -> Result<(), Failure> {
        for (signal, patience) in [
            (Signal::TERM, grace),
            (Signal::KILL, Duration::from_secs(10)),
        ] {
            let deadline = Instant::now() + patience;
            self.signal(signal);
            while self.lives() {
                if Instant::now() > deadline {
                    break;
                }
                sleep(POLL);
            }
        }
        if self.lives() {
            return Err(Failure::new(format!(
                "process {} does not end: see /proc/{}/stack for what it waits for",
                self.pid, self.pid
            )));
        }
        Ok(())
    }
}

/// When a process started, if it lives.
fn started(pid: i32) -> Option<u64> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Of `/proc/PID/stat` (`proc_pid_stat(5)`); the name in it may have spaces and brackets.
fn parse_stat(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // The state is field 3, the time is field 22.
    fields.nth(22 - 4)?.parse().ok()
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Starts a program with its output in `log`, and does not wait for it.
pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Process, Failure> {
    let open = || {
        fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(|error| Failure::io(log.display(), &error))
    };
    let child = command
        .stdin(std::process::Stdio::null())
        .stdout(open()?)
        .stderr(open()?)
        .spawn()
        .map_err(|error| {
            Failure::io(format!("start {}", command.get_program().display()), &error)
        })?;
    let pid = i32::try_from(child.id()).unwrap_or_default();
    Process::of(pid).ok_or_else(|| Failure::new(format!("it ended at once: see {}", log.display())))
}

/// The last lines of a log, for a message.
pub(crate) fn last_lines(log: &Path, count: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(16 * 1024)..]).into_owned();
    let lines: Vec<&str> = tail.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
#[path = "process_test.rs"]
mod tests;
