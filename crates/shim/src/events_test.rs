use std::sync::Arc;

use async_trait::async_trait;
use containerd_shim_protos::api::Empty;
use containerd_shim_protos::shim_async;
use containerd_shim_protos::ttrpc::r#async::{Server, TtrpcContext};

use super::*;

/// What containerd's side of the service was told.
struct Listener(mpsc::UnboundedSender<Envelope>);

#[async_trait]
impl shim_async::Events for Listener {
    async fn forward(&self, _: &TtrpcContext, request: ForwardRequest) -> ttrpc::Result<Empty> {
        let _ = self.0.send(request.envelope.unwrap_or_default());
        Ok(Empty::default())
    }
}

async fn listen(address: &str) -> (Server, mpsc::UnboundedReceiver<Envelope>) {
    let (told, heard) = mpsc::unbounded_channel();
    let mut server = Server::new()
        .bind(address)
        .unwrap()
        .register_service(shim_async::create_events(Arc::new(Listener(told))));
    server.start().await.unwrap();
    (server, heard)
}

fn exit(id: &str) -> events::TaskExit {
    events::TaskExit {
        id: id.to_owned(),
        ..Default::default()
    }
}

#[tokio::test]
async fn events_come_in_order_and_those_of_a_restart_come_late() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("events");
    let address = format!("unix://{}", path.display());
    let (mut server, mut heard) = listen(&address).await;
    let events = Events::publish_to(path.display().to_string(), "k8s.io".to_owned());

    events.send(topics::TASK_EXIT_EVENT_TOPIC, exit("a"));
    events.send(topics::TASK_OOM_EVENT_TOPIC, events::TaskOOM::default());
    let first = heard.recv().await.unwrap();
    assert_eq!(first.namespace, "k8s.io");
    assert_eq!(first.topic, "/tasks/exit");
    assert_eq!(first.event.type_url, "containerd.events.TaskExit");
    assert_eq!(heard.recv().await.unwrap().topic, "/tasks/oom");

    server.shutdown().await.unwrap();
    drop(server);
    let _ = std::fs::remove_file(&path);
    events.send(topics::TASK_EXIT_EVENT_TOPIC, exit("b"));
    let (_server, mut heard) = listen(&address).await;
    let late = heard.recv().await.unwrap();
    assert!(String::from_utf8_lossy(&late.event.value).contains('b'));
}
