//! containerd's events service, as far as a shim publishes to it: which containers the kernel of
//! the guest killed for want of memory is told by an event only.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use containerd_shim_protos::api::Empty;
use containerd_shim_protos::events::task::{TaskExit, TaskOOM};
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::shim_async::{Events as EventsService, create_events};
use containerd_shim_protos::topics::{TASK_EXIT_EVENT_TOPIC, TASK_OOM_EVENT_TOPIC};
use protobuf::Message;
use tokio::sync::Notify;
use ttrpc::asynchronous::Server;
use ttrpc::asynchronous::transport::Listener;

use crate::socket;

/// An event is sent when the process has ended, and so is the answer to whoever waited for it.
const PATIENCE: Duration = Duration::from_millis(500);
/// A Pod whose containers end again and again must not fill the memory.
const MOST: usize = 4096;

/// What the shim has published.
#[derive(Default)]
pub struct Events {
    told: Mutex<Told>,
    changed: Notify,
}

#[derive(Default)]
struct Told {
    oom: HashSet<String>,
    exited: HashSet<String>,
}

impl Events {
    /// Serves at a socket for as long as what comes back is kept.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub async fn serve(self: &Arc<Self>, path: &std::path::Path) -> io::Result<Server> {
        let listener = socket::listen(path)?.into_std()?;
        let listener = Listener::try_from(listener)?;
        let service = create_events(Arc::new(Receiver(Arc::clone(self))));
        let mut server = Server::new()
            .add_listener(listener)
            .register_service(service);
        server
            .start()
            .await
            .map_err(|error| io::Error::other(error.to_string()))?;
        Ok(server)
    }

    /// Whether a container whose process has ended was killed for want of memory.
    pub async fn was_oom_killed(&self, task: &str) -> bool {
        // The shim publishes an OOM before the exit: once the exit is here, all is known.
        let exited = async {
            loop {
                let changed = self.changed.notified();
                if self.lock().exited.contains(task) {
                    return;
                }
                changed.await;
            }
        };
        let _ = tokio::time::timeout(PATIENCE, exited).await;
        self.lock().oom.contains(task)
    }

    fn take(&self, topic: &str, event: &[u8]) {
        let mut told = self.lock();
        if told.exited.len() >= MOST {
            *told = Told::default();
        }
        match topic {
            TASK_OOM_EVENT_TOPIC => {
                if let Ok(event) = TaskOOM::parse_from_bytes(event) {
                    told.oom.insert(event.container_id);
                }
            }
            TASK_EXIT_EVENT_TOPIC => {
                if let Ok(event) = TaskExit::parse_from_bytes(event)
                    && event.id == event.container_id
                {
                    told.exited.insert(event.container_id);
                }
            }
            _ => return,
        }
        drop(told);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Receiver(Arc<Events>);

#[async_trait]
impl EventsService for Receiver {
    async fn forward(
        &self,
        _: &ttrpc::r#async::TtrpcContext,
        request: ForwardRequest,
    ) -> ttrpc::Result<Empty> {
        let envelope = request.envelope.unwrap_or_default();
        self.0.take(&envelope.topic, &envelope.event.value);
        Ok(Empty::new())
    }
}
