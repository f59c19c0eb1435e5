//! The daemon: serves the Sandbox and the Task API on one socket until it is shut down.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use containerd_shim_protos::sandbox_async::create_sandbox;
use containerd_shim_protos::shim_async::create_task;
use containerd_shim_protos::ttrpc;
use containerd_shim_protos::ttrpc::r#async::Server;
use containerd_shim_protos::ttrpc::r#async::transport::Listener;
use tokio::signal::unix::{SignalKind, signal};

use crate::events::Events;
use crate::flags::Flags;
use crate::sandbox_service::SandboxService;
use crate::service::Service;
use crate::start::TTRPC_ADDRESS;
use crate::task_service::TaskService;

/// How long the answer to the last request may take to leave.
const FAREWELL: Duration = Duration::from_millis(50);

/// Why the daemon could not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// containerd named no socket.
    #[error("no -socket was given: this program is started by containerd or skete, by `start`")]
    NoSocket,
    /// The socket.
    #[error("listen on {path}")]
    Listen {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The ttrpc server.
    #[error("serve ttrpc")]
    Server(#[source] ttrpc::Error),
    /// A signal handler.
    #[error("handle signals")]
    Signals(#[source] io::Error),
}

/// Serves until the sandbox is shut down.
pub async fn serve(flags: &Flags) -> Result<(), ServeError> {
    let path = flags
        .socket
        .strip_prefix("unix://")
        .unwrap_or(&flags.socket);
    let path = Path::new(path);
    if path.as_os_str().is_empty() {
        return Err(ServeError::NoSocket);
    }
    start_log(flags.debug);
    let failed = |source| ServeError::Listen {
        path: path.to_owned(),
        source,
    };
    let listener = listen(path).and_then(Listener::try_from).map_err(failed)?;
    let events = std::env::var(TTRPC_ADDRESS).unwrap_or_default();
    let events = Events::publish_to(events, flags.namespace.clone());
    let service = Arc::new(Service::new(&flags.namespace, &flags.id, events));
    let mut server = Server::new()
        .add_listener(listener)
        .register_service(create_sandbox(Arc::new(SandboxService(Arc::clone(
            &service,
        )))))
        .register_service(create_task(Arc::new(TaskService(Arc::clone(&service)))));
    server.start().await.map_err(ServeError::Server)?;
    tell_starter();
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    tokio::select! {
        () = service.shutdown.notified() => {}
        _ = terminate.recv() => {
            // As the end of the machine does it: in order, but without being asked.
            if let Some(sandbox) = service.current() {
                sandbox.stop().await;
                if let Err(error) = sandbox.remove() {
                    tracing::error!(error = error.chain(), "clean up");
                }
            }
        }
    }
    tokio::time::sleep(FAREWELL).await;
    let _ = std::fs::remove_file(path);
    Ok(())
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    if let Some(parent) = path.parent() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(parent)?;
    }
    // A socket that nobody listens on is left from a shim that was killed.
    if std::os::unix::net::UnixStream::connect(path).is_err() {
        let _ = std::fs::remove_file(path);
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Closes standard output, which the starter reads to its end. Standard error was `/dev/null` from
/// the start.
fn tell_starter() {
    if let Err(error) = rustix::stdio::dup2_stdout(rustix::stdio::stderr()) {
        tracing::error!(%error, "close standard output");
    }
}

/// Logs to containerd's FIFO `log` in the bundle where there is one, else to a file beside it.
fn start_log(debug: bool) {
    let fifo = Path::new("log");
    let is_fifo = fifo.metadata().is_ok_and(|meta| meta.file_type().is_fifo());
    let opened = if is_fifo {
        // For reading too, so that containerd's restart does not break the pipe.
        std::fs::File::options().read(true).write(true).open(fifo)
    } else {
        std::fs::File::options()
            .append(true)
            .create(true)
            .open("shim.log")
    };
    // Without a log the Pod still runs.
    let Ok(log) = opened else { return };
    let level = if debug {
        tracing::Level::DEBUG
    } else {
        tracing::Level::INFO
    };
    tracing_subscriber::fmt()
        .with_writer(std::sync::Mutex::new(log))
        .with_ansi(false)
        .with_max_level(level)
        .init();
}
