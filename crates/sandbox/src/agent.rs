//! The engine's side of the conversation with the agent: connections through the vsock device's
//! Unix socket, and the ttrpc client. The guest is hostile, so that every answer is bounded in
//! size (ttrpc: 4 MiB a message) and in time.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use skete_agent_api::agent_ttrpc::AgentClient;
use skete_agent_api::{CONTROL_PORT, FORWARD_PORT, MAX_LINE, STDIO_PORT, StdioHeader, agent};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};
use ttrpc::r#async::{Client, transport::Socket};
use ttrpc::context::{self, Context};

/// How long the agent may take for an ordinary request. An emulated guest on a busy machine takes
/// a hundred times as long as one on an idle machine with KVM.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the guest may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two tries while the guest boots.
const RETRY: Duration = Duration::from_millis(4);

/// Why the agent could not be asked, or what it answered.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The guest did not get as far as its agent.
    #[error("the guest's agent did not answer within {} s of its start", .0.as_secs())]
    NotReady(Duration),
    /// The vsock device or the guest refused the connection.
    #[error("connect to port {port} of the guest")]
    Connect {
        /// One of the ports of `skete_agent_api`.
        port: u32,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The agent refused a stream.
    #[error("the guest refused `{line}`: {answer}")]
    StreamRefused {
        /// What was asked.
        line: String,
        /// The agent's words.
        answer: String,
    },
    /// The agent answered a request with an error.
    #[error("{}", rpc_message(.0))]
    Rpc(Box<ttrpc::Error>),
}

impl From<ttrpc::Error> for AgentError {
    fn from(error: ttrpc::Error) -> Self {
        Self::Rpc(Box::new(error))
    }
}

impl AgentError {
    /// The status code of the agent's answer, if it answered.
    #[must_use]
    pub fn code(&self) -> Option<ttrpc::Code> {
        match self {
            Self::Rpc(error) => match error.as_ref() {
                ttrpc::Error::RpcStatus(status) => Some(status.code()),
                _ => None,
            },
            _ => None,
        }
    }
}

fn rpc_message(error: &ttrpc::Error) -> String {
    match error {
        // The guest chose these words: they go to a log or a terminal in one bounded line.
        ttrpc::Error::RpcStatus(status) => printable(status.message()),
        other => format!("the guest's agent is gone: {other}"),
    }
}

/// At most 1,000 characters, without control characters.
fn printable(text: &str) -> String {
    text.chars()
        .take(1000)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The agent of one guest.
#[derive(Clone)]
pub struct Agent {
    vsock: PathBuf,
    client: AgentClient,
}

/// The time an ordinary request may take.
#[must_use]
pub fn request() -> Context {
    context::with_duration(REQUEST_TIMEOUT)
}

/// No limit: for requests that wait for a process's end.
#[must_use]
pub fn unlimited() -> Context {
    context::with_timeout(0)
}

impl Agent {
    /// Connects as soon as the guest has come up, and says hello.
    ///
    /// # Errors
    /// If it has not within `boot`.
    pub async fn connect(
        vsock: &Path,
        boot: Duration,
    ) -> Result<(Self, agent::HelloResponse), AgentError> {
        let deadline = Instant::now() + boot;
        loop {
            let attempt = async {
                let stream = connect_port(vsock, CONTROL_PORT).await?;
                let client = AgentClient::new(Client::new(Socket::new(stream)));
                let hello = client.hello(request(), &agent::HelloRequest::new()).await?;
                Ok::<_, AgentError>((client, hello))
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match timeout(left, attempt).await {
                Ok(Ok((client, hello))) => {
                    let vsock = vsock.to_owned();
                    return Ok((Self { vsock, client }, hello));
                }
                Ok(Err(_)) if Instant::now() < deadline => sleep(RETRY).await,
                _ => return Err(AgentError::NotReady(boot)),
            }
        }
    }

    /// The ttrpc service.
    #[must_use]
    pub fn rpc(&self) -> &AgentClient {
        &self.client
    }

    /// Connects one stream of a process.
    ///
    /// # Errors
    /// If the guest refuses or does not answer.
    pub async fn stdio(&self, header: &StdioHeader) -> Result<UnixStream, AgentError> {
        self.open(STDIO_PORT, header.to_string()).await
    }

    /// Connects to a TCP listener in the guest's network namespace, `ADDRESS:PORT`.
    ///
    /// # Errors
    /// If nothing listens there, or the guest does not answer.
    pub async fn forward(&self, target: &str) -> Result<UnixStream, AgentError> {
        self.open(FORWARD_PORT, format!("tcp {target}")).await
    }

    async fn open(&self, port: u32, line: String) -> Result<UnixStream, AgentError> {
        let mut stream = connect_port(&self.vsock, port).await?;
        let failed = |source| AgentError::Connect { port, source };
        let exchange = async {
            stream.write_all(format!("{line}\n").as_bytes()).await?;
            read_line(&mut stream).await
        };
        let answer = timeout(CONNECT_TIMEOUT, exchange)
            .await
            .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        if answer == "OK" {
            Ok(stream)
        } else {
            let answer = printable(answer.strip_prefix("ERR ").unwrap_or(&answer));
            Err(AgentError::StreamRefused { line, answer })
        }
    }
}

/// Firecracker's convention: `CONNECT port` on the device's Unix socket, answered by `OK port`.
async fn connect_port(vsock: &Path, port: u32) -> Result<UnixStream, AgentError> {
    let exchange = async {
        let mut stream = UnixStream::connect(vsock).await?;
        stream
            .write_all(format!("CONNECT {port}\n").as_bytes())
            .await?;
        let answer = read_line(&mut stream).await?;
        if answer.starts_with("OK ") {
            Ok(stream)
        } else {
            Err(io::Error::other(answer))
        }
    };
    match timeout(CONNECT_TIMEOUT, exchange).await {
        Ok(done) => done,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
    .map_err(|source| AgentError::Connect { port, source })
}

/// One line, byte by byte: what follows belongs to the stream.
async fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            _ if line.len() == MAX_LINE => return Err(io::Error::other("line too long")),
            byte => line.push(byte),
        }
    }
}

#[cfg(test)]
#[path = "agent_test.rs"]
mod tests;
