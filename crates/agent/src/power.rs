//! The guest's end.

use std::fs;
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use rustix::system::{RebootCommand, reboot};

use crate::boot::RUN;

/// Killed processes have to be gone within this time.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Kills what still runs, writes and unmounts the scratch disk, and turns the guest off. Returns
/// only if the kernel would not.
pub(crate) async fn off() {
    kill_all().await;
    // Overlays hold the scratch disk; they go first, newest first.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for target in mounts
        .lines()
        .rev()
        .filter_map(|line| line.split(' ').nth(1))
    {
        if target.starts_with(RUN) {
            let _ = unmount(target, UnmountFlags::DETACH);
        }
    }
    rustix::fs::sync();
    // A machine without ACPI cannot be switched off, and then the kernel only halts; its monitor
    // is told not to reboot, so that a restart is the end as well.
    let _ = reboot(RebootCommand::Restart);
    let _ = reboot(RebootCommand::PowerOff);
    eprintln!("skete-agent: the kernel does not power off");
}

async fn kill_all() {
    let start = Instant::now();
    loop {
        let pids = user_processes();
        if pids.is_empty() || start.elapsed() > TIMEOUT {
            return;
        }
        for pid in pids {
            let _ = kill_process(pid, Signal::KILL);
        }
        // A frozen process is killed, too, and the reaper runs meanwhile.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// All processes but this one and the kernel's threads, which are children of process 2.
fn user_processes() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // The name is in parentheses and may hold any character.
            let (_, fields) = stat.rsplit_once(") ")?;
            let mut fields = fields.split(' ');
            let state = fields.next()?;
            let parent: i32 = fields.next()?.parse().ok()?;
            (pid > 2 && parent != 2 && state != "Z").then(|| Pid::from_raw(pid))?
        })
        .collect()
}
