//! The vsock listeners. Only the host may connect: containers share the guest's network
//! namespace, and a kernel with vsock loopback would let them in.

use std::io;
use std::time::Duration;

use futures::Stream;
use skete_agent_api::MAX_LINE;
use tokio::io::AsyncReadExt as _;
use tokio_vsock::{VMADDR_CID_ANY, VMADDR_CID_HOST, VsockAddr, VsockListener, VsockStream};

/// A stream port's first line has to come within this time.
const LINE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a first line was not accepted; the display goes to the engine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    /// The connection failed or ended.
    #[error("the connection ended before its first line did")]
    Io(#[from] io::Error),
    /// It did not come in time.
    #[error("no line came within {} s", LINE_TIMEOUT.as_secs())]
    TimedOut,
    /// It is longer than [`MAX_LINE`].
    #[error("the line is longer than {MAX_LINE} bytes")]
    TooLong,
    /// It is not UTF-8.
    #[error("the line is not UTF-8")]
    NotText,
    /// There are bytes after it, which had to wait for the answer.
    #[error("there are bytes after the line, before it was answered")]
    Early,
}

/// Listens on a port.
pub(crate) fn bind(port: u32) -> io::Result<VsockListener> {
    VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, port))
}

/// The next connection that comes from the host.
pub(crate) async fn accept(listener: &VsockListener) -> io::Result<VsockStream> {
    loop {
        let (stream, peer) = listener.accept().await?;
        if peer.cid() == VMADDR_CID_HOST {
            return Ok(stream);
        }
    }
}

/// As [`accept`], for a server; an error is followed by a pause, because out of descriptors or
/// memory the next call would fail at once, for ever.
pub(crate) async fn accept_patiently(listener: &VsockListener) -> VsockStream {
    loop {
        match accept(listener).await {
            Ok(stream) => return stream,
            Err(error) => {
                eprintln!("skete-agent: cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

/// The connections of a listener as a stream that never ends.
pub(crate) fn incoming(listener: VsockListener) -> impl Stream<Item = io::Result<VsockStream>> {
    futures::stream::unfold(listener, |listener| async move {
        let stream = accept_patiently(&listener).await;
        Some((Ok(stream), listener))
    })
}

/// Reads the line that opens a stream, without its newline.
pub(crate) async fn first_line(stream: &mut VsockStream) -> Result<String, LineError> {
    let mut buffer = [0; MAX_LINE];
    let mut length = 0;
    let read = async {
        loop {
            let count = stream.read(&mut buffer[length..]).await?;
            if count == 0 {
                return Err(LineError::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            let new = &buffer[length..length + count];
            if let Some(end) = new.iter().position(|byte| *byte == b'\n') {
                if end + 1 != count {
                    return Err(LineError::Early);
                }
                return Ok(length + end);
            }
            length += count;
            if length == MAX_LINE {
                return Err(LineError::TooLong);
            }
        }
    };
    let length = tokio::time::timeout(LINE_TIMEOUT, read)
        .await
        .map_err(|_| LineError::TimedOut)??;
    let line = std::str::from_utf8(&buffer[..length]).map_err(|_| LineError::NotText)?;
    Ok(line.to_owned())
}
