//! The processes of one machine's Pods, found without asking `skete`.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// A process.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// Its arguments, with spaces between.
    pub(crate) command: String,
}

impl Process {
    /// File name of its program.
    pub(crate) fn program(&self) -> &str {
        let path = self.command.split(' ').next().unwrap_or_default();
        path.rsplit('/').next().unwrap_or_default()
    }
}

/// Every process, this one and its threads aside, that was started with a path below `dir` among
/// its arguments or variables.
pub(crate) fn below(dir: &Path) -> Vec<Process> {
    let dir = dir.to_string_lossy();
    let own = std::process::id();
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != own)
        .filter_map(|pid| {
            let read = |name: &str| {
                let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
                String::from_utf8_lossy(&bytes).replace('\0', " ")
            };
            let command = read("cmdline");
            let is_below = command.contains(&*dir) || read("environ").contains(&*dir);
            // A process without arguments has ended, and is not reaped yet.
            (is_below && !command.is_empty()).then_some(Process { pid, command })
        })
        .collect()
}

/// SIGKILL. A process that has ended meanwhile is no error.
pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// A signal. A process that has ended meanwhile is no error.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
