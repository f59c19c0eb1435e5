//! The actions that containerd runs the shim's executable with: `start`, which leaves a daemon
//! behind and says where it listens; `delete`, which cleans up after a daemon that is dead; and
//! `-info`.

use async_trait::async_trait;
use containerd_shim::asynchronous::{Shim, run, spawn};
use containerd_shim::publisher::RemotePublisher;
use containerd_shim::util::timestamp;
use containerd_shim::{Config, Error, Flags, StartOpts};
use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::shim_async::Task;
use skete_sandbox::cleanup;
use skete_sandbox::layout::{Layout, Roots};

/// containerd's name of the runtime.
const RUNTIME: &str = "io.containerd.skete.v2";
/// 128 + SIGKILL: what is left of a sandbox is killed.
const KILLED: u32 = 137;

/// Does what the command line asks.
pub async fn act() {
    let config = Config {
        no_setup_logger: true,
        no_sub_reaper: true,
        ..Config::default()
    };
    run::<Action>(RUNTIME, Some(config)).await;
}

struct Action {
    namespace: String,
    id: String,
}

/// The daemon is [`crate::serve`], so that these actions never make a task service.
struct Never;

#[async_trait]
impl Task for Never {}

#[async_trait]
impl Shim for Action {
    type T = Never;

    async fn new(_runtime: &str, flags: &Flags, _config: &mut Config) -> Self {
        Self {
            namespace: flags.namespace.clone(),
            id: flags.id.clone(),
        }
    }

    async fn start_shim(&mut self, opts: StartOpts) -> Result<String, Error> {
        let grouping = opts.id.clone();
        spawn(opts, &grouping, Vec::new()).await
    }

    async fn delete_shim(&mut self) -> Result<DeleteResponse, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Other(error.to_string());
        let layout = Layout::new(&Roots::from_env(), &self.namespace, &self.id)
            .map_err(|error| failed(&error))?;
        cleanup::remove(&layout).map_err(|error| failed(&error.chain()))?;
        Ok(DeleteResponse {
            exit_status: KILLED,
            exited_at: Some(timestamp()?).into(),
            ..DeleteResponse::default()
        })
    }

    async fn wait(&mut self) {}

    async fn create_task_service(&self, _publisher: RemotePublisher) -> Never {
        Never
    }
}
