//! Those who watch a Pod or are attached to it, and what they are sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use crate::logs::Stream;
use crate::wire::{CHUNK, Event, Frame};

/// So many bytes of output may be on their way to one subscriber; then the container waits, as it
/// would for a pipe.
const BUDGET: usize = 1 << 20;

/// What one subscriber wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    /// What happens to the Pod.
    Events,
    /// That, and what every container writes.
    Everything,
    /// That, and what the container with this place writes.
    Container(u8),
}

struct Subscriber {
    wants: Wants,
    frames: mpsc::UnboundedSender<(Vec<u8>, usize)>,
    budget: Arc<Semaphore>,
}

/// Everybody who is connected.
#[derive(Default)]
pub struct Subscribers {
    list: Mutex<Vec<Arc<Subscriber>>>,
    attached: Notify,
    watched: Notify,
    connections: Arc<()>,
}

impl Subscribers {
    /// Adds one, and sends to it until it goes or [`Self::end`] is called.
    pub fn add(&self, wants: Wants, mut to: OwnedWriteHalf) -> Replies {
        let (frames, mut queue) = mpsc::unbounded_channel::<(Vec<u8>, usize)>();
        let budget = Arc::new(Semaphore::new(BUDGET));
        let subscriber = Arc::new(Subscriber {
            wants,
            frames: frames.clone(),
            budget: Arc::clone(&budget),
        });
        lock(&self.list).push(subscriber);
        let alive = Arc::clone(&self.connections);
        tokio::spawn(async move {
            let _alive = alive;
            while let Some((frame, weight)) = queue.recv().await {
                if to.write_all(&frame).await.is_err() {
                    break;
                }
                budget.add_permits(weight);
            }
            // Whoever waits for room waits in vain now.
            budget.close();
            queue.close();
        });
        if wants == Wants::Events {
            self.watched.notify_one();
        } else {
            self.attached.notify_one();
        }
        Replies(frames)
    }

    /// Waits until the first has attached, or with `watch` watches, but not longer than that.
    pub async fn wait_for_first(&self, watch: bool, timeout: Duration) {
        let first = if watch {
            self.watched.notified()
        } else {
            self.attached.notified()
        };
        let _ = tokio::time::timeout(timeout, first).await;
    }

    /// Tells everybody what has happened.
    pub fn tell(&self, event: Event) {
        let Ok(frame) = Frame::Say(event).encode() else {
            return;
        };
        lock(&self.list).retain(|s| s.frames.send((frame.clone(), 0)).is_ok());
    }

    /// Hands on what a container wrote, waiting for those who are slow until there is no time for
    /// it any more.
    pub async fn output(
        &self,
        container: u8,
        stream: Stream,
        bytes: &[u8],
        hurry: &mut watch::Receiver<bool>,
    ) {
        let everybody: Vec<_> = lock(&self.list)
            .iter()
            .filter(|s| !s.frames.is_closed())
            .filter(|s| match s.wants {
                Wants::Events => false,
                Wants::Everything => true,
                Wants::Container(only) => only == container,
            })
            .cloned()
            .collect();
        for subscriber in everybody {
            for bytes in bytes.chunks(CHUNK) {
                let frame = Frame::<Event>::Output {
                    container,
                    stream,
                    bytes: bytes.to_vec(),
                };
                let Ok(frame) = frame.encode() else { continue };
                let weight = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                tokio::select! {
                    biased;
                    room = subscriber.budget.acquire_many(weight) => {
                        if let Ok(room) = room {
                            room.forget();
                        }
                    }
                    // An error means that the container's run is over: no time either.
                    _ = hurry.wait_for(|hurry| *hurry) => {}
                }
                let _ = subscriber.frames.send((frame, bytes.len()));
            }
        }
    }

    /// Sends what is still to be sent, for so long at most. Nobody is told anything afterwards.
    pub async fn end(&self, timeout: Duration) {
        lock(&self.list).clear();
        let gone = async {
            while Arc::strong_count(&self.connections) > 1 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let _ = tokio::time::timeout(timeout, gone).await;
    }
}

/// The way back to one who asked for something.
#[derive(Clone)]
pub struct Replies(mpsc::UnboundedSender<(Vec<u8>, usize)>);

impl Replies {
    /// Answers.
    pub fn send(&self, event: Event) {
        if let Ok(frame) = Frame::Say(event).encode() {
            let _ = self.0.send((frame, 0));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
