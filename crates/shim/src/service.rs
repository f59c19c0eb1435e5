//! What both services of the shim share: the sandbox, once it is created.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use containerd_shim_protos::ttrpc;
use skete_sandbox::error::EngineError;
use skete_sandbox::sandbox::Sandbox;
use tokio::sync::Notify;

use crate::convert;
use crate::events::Events;

/// How long a stopped sandbox can still be asked about.
const RETIREMENT: Duration = Duration::from_secs(10);

/// The state of the shim.
pub struct Service {
    /// containerd's namespace.
    pub namespace: String,
    /// The sandbox's id: that of the shim.
    pub id: String,
    /// Where events go.
    pub events: Events,
    /// Ends the process.
    pub shutdown: Notify,
    sandbox: OnceLock<Arc<Sandbox>>,
}

/// What the services' methods answer.
pub type Answer<T> = ttrpc::Result<T>;

impl Service {
    /// A shim without a sandbox.
    pub fn new(namespace: &str, id: &str, events: Events) -> Self {
        Self {
            namespace: namespace.to_owned(),
            id: id.to_owned(),
            events,
            shutdown: Notify::new(),
            sandbox: OnceLock::new(),
        }
    }

    /// The sandbox, by the id that a request named.
    pub fn sandbox(&self, id: &str) -> Answer<&Arc<Sandbox>> {
        self.current().filter(|_| id == self.id).ok_or_else(|| {
            convert::status(&EngineError::NotFound {
                what: "sandbox",
                id: id.to_owned(),
            })
        })
    }

    /// The sandbox, whatever its id.
    pub fn current(&self) -> Option<&Arc<Sandbox>> {
        self.sandbox.get()
    }

    /// The sandbox that a task's request is about.
    pub fn of_task(&self) -> Answer<&Arc<Sandbox>> {
        self.sandbox(&self.id)
    }

    /// Ends the process some time after the sandbox was stopped, when containerd has taken the end
    /// of each task to its books: it keeps a Pod's sandbox until the Pod is deleted, which for a
    /// Job may be days, and has `delete` clean up after a shim that is gone.
    pub fn retire(self: &Arc<Self>, sandbox: &Arc<Sandbox>) {
        let (service, sandbox) = (Arc::clone(self), Arc::clone(sandbox));
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(RETIREMENT).await;
                if sandbox.is_empty() {
                    break;
                }
            }
            if let Err(error) = sandbox.remove() {
                tracing::warn!(error = error.chain(), "clean up");
            }
            service.shutdown.notify_one();
        });
    }

    /// Sets the sandbox, once.
    pub fn set_sandbox(&self, sandbox: Arc<Sandbox>) -> Answer<()> {
        self.sandbox.set(sandbox).map_err(|_| {
            convert::status(&EngineError::AlreadyExists {
                what: "sandbox",
                id: self.id.clone(),
            })
        })
    }
}

/// Turns the engine's result into an answer.
pub fn answer<T>(result: Result<T, EngineError>) -> Answer<T> {
    result.map_err(|error| {
        tracing::warn!(error = error.chain(), "request failed");
        convert::status(&error)
    })
}
