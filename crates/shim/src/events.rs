//! Publishes what happens to containerd, in the order that its Task API promises: Create, Start,
//! OOM, Exit, Delete.

use containerd_shim::publisher::RemotePublisher;
use containerd_shim_protos::events::task as events;
use containerd_shim_protos::protobuf::MessageDyn;
use containerd_shim_protos::topics;
use containerd_shim_protos::ttrpc::context::with_duration;
use skete_sandbox::sandbox::Event;
use tokio::sync::mpsc;

use crate::convert::timestamp;

/// How long one event may take to be taken.
const PUBLISH: std::time::Duration = std::time::Duration::from_secs(5);

/// What is published: a topic and its message.
type Message = (&'static str, Box<dyn MessageDyn>);

/// Where events go in. Never blocks; without a listener they are dropped.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::UnboundedSender<Message>,
}

impl Events {
    /// Begins to publish to containerd's events service at `address`. A service that is not there
    /// is not an error: `skete` may have ended, and the Pod lives on.
    pub fn publish_to(address: String, namespace: String) -> Self {
        let (queue, mut queued) = mpsc::unbounded_channel::<Message>();
        tokio::spawn(async move {
            let mut publisher = None;
            while let Some((topic, event)) = queued.recv().await {
                if publisher.is_none() && !address.is_empty() {
                    publisher = RemotePublisher::new(&address).await.ok();
                }
                let Some(publisher) = &publisher else {
                    continue;
                };
                let published = publisher
                    .publish(with_duration(PUBLISH), topic, &namespace, event)
                    .await;
                if let Err(error) = published {
                    tracing::warn!(%error, topic, "publish");
                }
            }
        });
        Self { queue }
    }

    /// Publishes one event.
    pub fn send(&self, topic: &'static str, event: impl MessageDyn) {
        // The task above lives as long as the process.
        let _ = self.queue.send((topic, Box::new(event)));
    }

    /// Publishes an event of the engine's.
    pub fn send_engine_event(&self, event: Event, pid: u32) {
        match event {
            Event::Oom { container_id } => self.send(
                topics::TASK_OOM_EVENT_TOPIC,
                events::TaskOOM {
                    container_id,
                    ..Default::default()
                },
            ),
            Event::Exit {
                container_id,
                exec_id,
                exit,
            } => self.send(
                topics::TASK_EXIT_EVENT_TOPIC,
                events::TaskExit {
                    id: if exec_id.is_empty() {
                        container_id.clone()
                    } else {
                        exec_id
                    },
                    container_id,
                    pid,
                    exit_status: exit.code,
                    exited_at: timestamp(exit.at),
                    ..Default::default()
                },
            ),
        }
    }
}
