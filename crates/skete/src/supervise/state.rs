//! What the parts of a follower share: the record, who is attached, what is to be stopped.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::events::Events;
use super::streams::Input;
use super::subscribers::Subscribers;
use crate::paths::Paths;
use crate::record::{PodRecord, Timing};
use crate::shim_client::ShimClient;
use crate::terminal::WindowSize;

/// The wish that the Pod end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Instead of each image's stop signal.
    pub signal: Option<u32>,
    /// When what still runs is killed.
    pub deadline: Instant,
    /// What the record says.
    pub reason: &'static str,
}

/// What the parts of a follower share.
pub struct State {
    /// Where things are.
    pub paths: Paths,
    /// Those who watch or are attached.
    pub subscribers: Arc<Subscribers>,
    record: Mutex<PodRecord>,
    stop: watch::Sender<Option<Stop>>,
    grace: Duration,
    shim: Mutex<Option<ShimClient>>,
    running: Mutex<HashMap<String, Running>>,
    inputs: HashMap<String, Arc<Input>>,
    /// What the shim publishes.
    pub events: Arc<Events>,
}

#[derive(Debug, Clone, Default)]
struct Running {
    /// The engine's id of what runs now.
    task: Option<String>,
    window: Option<WindowSize>,
    /// Somebody has sent it a signal to end: it is not started again.
    ended_by_hand: bool,
}

impl State {
    /// For a Pod with that record and that grace period.
    pub fn new(paths: Paths, record: PodRecord, grace: Duration) -> Self {
        let inputs = record
            .containers
            .iter()
            .filter(|c| c.stdin)
            .map(|c| (c.name.clone(), Arc::new(Input::new())))
            .collect();
        Self {
            paths,
            subscribers: Arc::default(),
            record: Mutex::new(record),
            stop: watch::Sender::new(None),
            grace,
            shim: Mutex::new(None),
            running: Mutex::default(),
            inputs,
            events: Arc::default(),
        }
    }

    /// A copy of the record.
    pub fn record(&self) -> PodRecord {
        lock(&self.record).clone()
    }

    /// Changes the record and writes it. A record that cannot be written is told of in the log,
    /// and written at the next change: the Pod is not ended for it.
    pub fn change(&self, change: impl FnOnce(&mut PodRecord)) {
        let mut record = lock(&self.record);
        change(&mut record);
        if let Err(error) = record.save(&self.paths) {
            tracing::error!(error = %crate::failure::chain(&error), "cannot write the record");
        }
    }

    /// Adds a phase to the record; it is written with the next change.
    pub fn timed(&self, phase: impl Into<String>, took: Duration) {
        lock(&self.record).timings.push(Timing {
            phase: phase.into(),
            nanoseconds: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
        });
    }

    /// Wishes the Pod's end. Of several wishes the earliest deadline holds, and the first reason.
    pub fn request_stop(&self, grace: Option<Duration>, signal: Option<u32>, reason: &'static str) {
        let deadline = Instant::now() + grace.unwrap_or(self.grace);
        self.stop.send_if_modified(|stop| {
            if let Some(before) = stop {
                let earlier = deadline < before.deadline;
                before.deadline = before.deadline.min(deadline);
                return earlier;
            }
            *stop = Some(Stop {
                signal,
                deadline,
                reason,
            });
            true
        });
    }

    /// The wish that the Pod end, now and as it changes.
    pub fn stop(&self) -> watch::Receiver<Option<Stop>> {
        self.stop.subscribe()
    }

    /// Waits until the Pod's end is wished.
    pub async fn stop_requested(&self) -> Stop {
        let mut stop = self.stop();
        loop {
            if let Some(stop) = stop.borrow_and_update().clone() {
                return stop;
            }
            if stop.changed().await.is_err() {
                // The sender is in `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether the Pod's end is wished.
    pub fn is_stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// The shim is there.
    pub fn set_shim(&self, client: Option<ShimClient>) {
        *lock(&self.shim) = client;
    }

    /// The shim, if it is there.
    pub fn shim(&self) -> Option<ShimClient> {
        lock(&self.shim).clone()
    }

    /// The container's process runs now.
    pub fn set_running(&self, container: &str, task: Option<String>) {
        let mut running = lock(&self.running);
        running.entry(container.to_owned()).or_default().task = task;
    }

    /// The terminal's size, as last told.
    pub fn window(&self, container: &str) -> Option<WindowSize> {
        lock(&self.running).get(container)?.window
    }

    /// The terminal's size is this; comes back with what of the engine's has to be told.
    pub fn set_window(&self, container: &str, window: WindowSize) -> Option<String> {
        let mut running = lock(&self.running);
        let entry = running.entry(container.to_owned()).or_default();
        entry.window = Some(window);
        entry.task.clone()
    }

    /// What runs now, all or one: name and the engine's id.
    pub fn running(&self, only: Option<&str>) -> Vec<(String, String)> {
        lock(&self.running)
            .iter()
            .filter(|(name, _)| only.is_none_or(|only| only == *name))
            .filter_map(|(name, running)| Some((name.clone(), running.task.clone()?)))
            .collect()
    }

    /// A signal to end was sent by hand.
    pub fn set_ended_by_hand(&self, container: &str) {
        let mut running = lock(&self.running);
        running
            .entry(container.to_owned())
            .or_default()
            .ended_by_hand = true;
    }

    /// Whether a signal to end was sent by hand.
    pub fn ended_by_hand(&self, container: &str) -> bool {
        lock(&self.running)
            .get(container)
            .is_some_and(|running| running.ended_by_hand)
    }

    /// Standard input of that container, if it keeps one.
    pub fn input(&self, container: &str) -> Option<Arc<Input>> {
        self.inputs.get(container).cloned()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
