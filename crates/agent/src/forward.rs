//! The port that relays TCP connections into the guest, for port-forward.

use std::net::SocketAddr;
use std::time::Duration;

use skete_agent_api::OK_LINE;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_vsock::{VsockListener, VsockStream};

use crate::listen;

/// The server in the guest has to accept within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a connection was refused; the display goes to the engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// The line could not be read.
    #[error(transparent)]
    Line(#[from] listen::LineError),
    /// It is not `tcp ADDRESS:PORT`.
    #[error("expected `tcp ADDRESS:PORT`")]
    Malformed,
    /// Nobody listens there, or the guest has no route.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// No answer.
    #[error("cannot connect to {0}: no answer within {timeout} s", timeout = CONNECT_TIMEOUT.as_secs())]
    TimedOut(SocketAddr),
}

/// Serves the port for ever.
pub(crate) async fn serve(listener: VsockListener) {
    loop {
        let stream = listen::accept_patiently(&listener).await;
        tokio::spawn(relay(stream));
    }
}

async fn relay(mut stream: VsockStream) {
    match connect(&mut stream).await {
        Ok(mut server) => {
            if stream.write_all(OK_LINE.as_bytes()).await.is_ok() {
                // Either side may go at any time; there is nobody to tell.
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
            }
        }
        Err(error) => {
            let _ = stream.write_all(format!("ERR {error}\n").as_bytes()).await;
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

async fn connect(stream: &mut VsockStream) -> Result<TcpStream, ForwardError> {
    let address = parse(&listen::first_line(stream).await?)?;
    match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
        Ok(Ok(server)) => Ok(server),
        Ok(Err(source)) => Err(ForwardError::Connect { address, source }),
        Err(_) => Err(ForwardError::TimedOut(address)),
    }
}

fn parse(line: &str) -> Result<SocketAddr, ForwardError> {
    line.strip_prefix("tcp ")
        .and_then(|address| address.parse().ok())
        .ok_or(ForwardError::Malformed)
}

#[cfg(test)]
#[path = "forward_test.rs"]
mod tests;
