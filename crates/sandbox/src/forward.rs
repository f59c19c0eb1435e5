//! Relays what containerd connects to on the Pod's loopback into the guest, for port-forward.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use skete_network::{ForwardError, Loopback, original_port};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::agent::Agent;
use crate::error::EngineError;

/// Connections of one Pod at a time.
const CONNECTIONS: usize = 256;
/// Between two tries when no descriptor is left.
const PATIENCE: Duration = Duration::from_millis(100);

/// Takes over the loopback of the Pod's namespace and relays its connections for as long as the
/// runtime lives.
///
/// # Errors
/// If the namespace or its rules cannot be set up.
pub async fn serve(netns: &Path, agent: &Agent) -> Result<(), EngineError> {
    let failed = |source: ForwardError| EngineError::PortForward(Box::new(source));
    let path = netns.to_owned();
    let taken = tokio::task::spawn_blocking(move || Loopback::take(&path));
    let loopback = match taken.await {
        Ok(taken) => taken.map_err(failed)?,
        // The runtime is going down.
        Err(_) => return Ok(()),
    };
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let v6 = loopback.v6.map(|listener| (listener, true));
    for (listener, is_v6) in [(loopback.v4, false)].into_iter().chain(v6) {
        let listener = TcpListener::from_std(listener).map_err(|source| EngineError::Io {
            action: "listen in",
            path: netns.to_owned(),
            source,
        })?;
        tokio::spawn(accept(listener, is_v6, agent.clone(), Arc::clone(&slots)));
    }
    Ok(())
}

async fn accept(listener: TcpListener, is_v6: bool, agent: Agent, slots: Arc<Semaphore>) {
    loop {
        // It is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let Ok((connection, _)) = listener.accept().await else {
            tokio::time::sleep(PATIENCE).await;
            continue;
        };
        let agent = agent.clone();
        tokio::spawn(async move {
            relay(connection, is_v6, &agent).await;
            drop(slot);
        });
    }
}

async fn relay(mut connection: TcpStream, is_v6: bool, agent: &Agent) {
    let Ok(port) = original_port(&connection, is_v6) else {
        return;
    };
    let target: SocketAddr = if is_v6 {
        (Ipv6Addr::LOCALHOST, port).into()
    } else {
        (Ipv4Addr::LOCALHOST, port).into()
    };
    match agent.forward(&target.to_string()).await {
        Ok(mut guest) => {
            // Either side may go at any time; there is nobody to tell.
            let _ = copy_bidirectional(&mut connection, &mut guest).await;
        }
        Err(error) => {
            tracing::debug!(%error, port, "port-forward");
            // The nearest there is to a refusal: the connection is reset.
            let _ = connection.set_zero_linger();
        }
    }
}
