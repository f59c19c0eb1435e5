//! Publishes what happens to containerd, in the order that its Task API promises: Create, Start,
//! OOM, Exit, Delete.

use std::time::{Duration, SystemTime};

use containerd_shim_protos::events::task as events;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{self, MessageField, MessageFull};
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::shim_async::{Client, EventsClient};
use containerd_shim_protos::topics;
use containerd_shim_protos::ttrpc;
use containerd_shim_protos::ttrpc::context::with_duration;
use skete_sandbox::sandbox::Event;
use tokio::sync::mpsc;

use crate::convert::timestamp;

/// How long one event may take to be taken.
const PUBLISH: Duration = Duration::from_secs(5);
/// How often one event is offered, after one second, two, …: a containerd that restarts is back by
/// then, and asks for the state itself in any case.
const ATTEMPTS: u64 = 5;
/// So many events wait; what happens beyond them is not told.
const QUEUE: usize = 1024;

/// Where events go in. Never blocks; without a listener they are dropped.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Envelope>,
    namespace: String,
}

impl Events {
    /// Begins to publish to containerd's events service at `address`. A service that is not there
    /// is not an error: `skete` may have ended, and the Pod lives on.
    pub fn publish_to(address: String, namespace: String) -> Self {
        let (queue, mut queued) = mpsc::channel::<Envelope>(QUEUE);
        tokio::spawn(async move {
            let mut publisher = Publisher {
                address: format!("unix://{}", address.trim_start_matches("unix://")),
                client: None,
            };
            while let Some(envelope) = queued.recv().await {
                let topic = envelope.topic.clone();
                if let Err(error) = publisher.publish(envelope).await {
                    tracing::warn!(%error, topic, "publish");
                }
            }
        });
        Self { queue, namespace }
    }

    /// Publishes one event.
    pub fn send(&self, topic: &'static str, event: impl MessageFull) {
        let event = match any(&event) {
            Ok(any) => any,
            Err(error) => return tracing::error!(%error, topic, "encode an event"),
        };
        let envelope = Envelope {
            timestamp: timestamp(SystemTime::now()),
            namespace: self.namespace.clone(),
            topic: topic.to_owned(),
            event: MessageField::some(event),
            ..Envelope::default()
        };
        if self.queue.try_send(envelope).is_err() {
            tracing::warn!(topic, "nobody takes events: one is lost");
        }
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

/// An `Any` as containerd's `typeurl` writes it, by the bare name.
fn any<M: MessageFull>(message: &M) -> protobuf::Result<Any> {
    Ok(Any {
        type_url: M::descriptor().full_name().to_owned(),
        value: message.write_to_bytes()?,
        ..Any::default()
    })
}

/// The connection to containerd.
struct Publisher {
    address: String,
    client: Option<EventsClient>,
}

impl Publisher {
    async fn publish(&mut self, envelope: Envelope) -> ttrpc::Result<()> {
        let request = ForwardRequest {
            envelope: MessageField::some(envelope),
            ..ForwardRequest::default()
        };
        let mut attempt = 0;
        loop {
            match self.forward(&request).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    self.client = None;
                    attempt += 1;
                    if attempt == ATTEMPTS {
                        return Err(error);
                    }
                    tokio::time::sleep(Duration::from_secs(attempt)).await;
                }
            }
        }
    }

    async fn forward(&mut self, request: &ForwardRequest) -> ttrpc::Result<()> {
        let client = match &self.client {
            Some(client) => client,
            None => {
                let connection = Client::connect(&self.address).await?;
                self.client.insert(EventsClient::new(connection))
            }
        };
        client.forward(with_duration(PUBLISH), request).await?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "events_test.rs"]
mod tests;
