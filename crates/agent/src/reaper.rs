//! The one place where children are waited for: PID 1 inherits every orphan of the guest.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::lock;

/// Exits of children nobody has asked for yet; older ones are forgotten.
const MAX_KEPT: usize = 1024;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The exit status, or 128 + the signal.
    pub(crate) code: u32,
    /// The signal that ended it.
    pub(crate) signal: Option<i32>,
    /// CLOCK_REALTIME, nanoseconds.
    pub(crate) at_ns: u64,
}

impl Exit {
    /// An end with an exit status, now.
    pub(crate) fn with_code(code: u32) -> Self {
        Self {
            code,
            signal: None,
            at_ns: realtime_ns(),
        }
    }
}

/// The guest's clock, nanoseconds since 1970.
pub(crate) fn realtime_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

#[derive(Default)]
struct Inner {
    waiting: HashMap<i32, oneshot::Sender<Exit>>,
    kept: VecDeque<(i32, Instant, Exit)>,
}

/// Hands each child's end to who asked for it.
#[derive(Default)]
pub(crate) struct Reaper {
    inner: Mutex<Inner>,
}

impl Reaper {
    /// The end of a child that was started after `since`; a kept exit of an earlier process with
    /// the same id is not its.
    pub(crate) fn watch(&self, pid: i32, since: Instant) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = lock(&self.inner);
        let kept = inner
            .kept
            .iter()
            .position(|(kept, at, _)| *kept == pid && *at >= since);
        match kept.and_then(|index| inner.kept.remove(index)) {
            Some((_, _, exit)) => {
                let _ = sender.send(exit);
            }
            None => {
                inner.waiting.insert(pid, sender);
            }
        }
        receiver
    }

    fn ended(&self, pid: i32, exit: Exit) {
        let mut inner = lock(&self.inner);
        if let Some(waiting) = inner.waiting.remove(&pid) {
            // Whoever asked may have given up.
            let _ = waiting.send(exit);
            return;
        }
        if inner.kept.len() == MAX_KEPT {
            inner.kept.pop_front();
        }
        inner.kept.push_back((pid, Instant::now(), exit));
    }

    /// Waits for all children that have ended.
    fn reap(&self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let signal = status.terminating_signal();
            let code = match (status.exit_status(), signal) {
                (Some(code), _) => code,
                (None, Some(signal)) => 128 + signal,
                (None, None) => continue,
            };
            let exit = Exit {
                code: u32::try_from(code).unwrap_or(255),
                signal,
                at_ns: realtime_ns(),
            };
            self.ended(pid.as_raw_nonzero().get(), exit);
        }
    }

    /// Reaps for ever.
    pub(crate) async fn run(&self, mut children: Signal) {
        loop {
            self.reap();
            if children.recv().await.is_none() {
                return;
            }
        }
    }
}

/// The signal that tells of children; to be made before the first is started.
pub(crate) fn children() -> std::io::Result<Signal> {
    signal(SignalKind::child())
}

#[cfg(test)]
#[path = "reaper_test.rs"]
mod tests;
