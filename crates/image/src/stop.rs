//! A word to all threads of a pull that it is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Stops a pull or a load from another thread: a clone is given to it, and [`Stop::stop`] on any
/// of them ends it soon, with nothing left behind.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    own: Arc<AtomicBool>,
    parent: Option<Arc<AtomicBool>>,
}

impl Stop {
    /// Asks all that hold a clone to end.
    pub fn stop(&self) {
        self.own.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    pub fn is_stopped(&self) -> bool {
        let set = |flag: &Arc<AtomicBool>| flag.load(Ordering::Relaxed);
        set(&self.own) || self.parent.as_ref().is_some_and(set)
    }

    /// A word of its own that also hears this one.
    pub(crate) fn child(&self) -> Self {
        Self {
            own: Arc::default(),
            parent: Some(self.own.clone()),
        }
    }

    /// Sleeps in slices; true if stopped before or meanwhile.
    pub(crate) fn sleep(&self, time: Duration) -> bool {
        let start = Instant::now();
        while !self.is_stopped() {
            let Some(left) = time
                .checked_sub(start.elapsed())
                .filter(|left| !left.is_zero())
            else {
                return false;
            };
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
        true
    }
}
