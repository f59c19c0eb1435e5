//! A child process that dies with us, and is never mistaken for another.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, PidfdFlags, Signal};
use rustix::process::{getpid, getppid, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;

/// Starts a program that is killed when the calling thread ends, and that inherits `keep` under
/// the same numbers and nothing else beside its standard streams.
#[allow(unsafe_code)]
pub(crate) fn spawn(command: &mut Command, keep: &[&OwnedFd]) -> io::Result<(Child, OwnedFd)> {
    let keep: Vec<RawFd> = keep.iter().map(|fd| fd.as_raw_fd()).collect();
    if keep.iter().any(|fd| *fd <= 2) {
        // They would be hidden by the child's standard streams.
        return Err(io::Error::other(
            "a standard stream of this process is closed",
        ));
    }
    let parent = getpid();
    let in_child = move || -> io::Result<()> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid() != Some(parent) {
            // The parent ended before the line above took effect.
            return Err(rustix::io::Errno::SRCH.into());
        }
        for fd in &keep {
            // SAFETY: `spawn` returns after this has run, and its caller holds these open.
            let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
            fcntl_setfd(fd, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure only makes system calls (prctl, getppid, fcntl);
    // it does not allocate and takes no lock.
    unsafe { command.pre_exec(in_child) };
    let mut child = command.spawn()?;
    let pidfd = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::NONBLOCK));
    match pidfd {
        Ok(pidfd) => Ok((child, pidfd)),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error.into())
        }
    }
}

/// Makes a process's descriptor one that can be waited for: it is readable once the process has
/// ended (`pidfd_open(2)`).
#[allow(unsafe_code)]
pub(crate) fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open file until it is dropped, which the `AsyncFd` does
    // only after it has let go of it.
    unsafe { AsyncFd::register(pidfd) }.map_err(io::Error::from)
}

/// Kills a process, if it still is.
pub(crate) fn kill(pidfd: &OwnedFd) {
    // The only error is that it has ended.
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
}

/// How a process ended, to follow the name of it: `ended with status 1`.
pub(crate) fn describe(status: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with status {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
