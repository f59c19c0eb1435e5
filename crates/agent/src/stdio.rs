//! The streams of processes: pipes or a terminal on one side, vsock connections on the other.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::pipe::{PipeFlags, pipe_with};
use skete_agent_api::{OK_LINE, StdioHeader, StdioStream};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio_vsock::{VsockListener, VsockStream};

use crate::listen;
use crate::process::Process;
use crate::server::Agent;
use crate::worker::Stdio3;

/// How much is read at once: what a pipe holds.
const BUFFER: usize = 64 << 10;

/// The agent's ends of a process's pipes.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    stdin: Option<pipe::Sender>,
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
}

/// Makes the pipes of a process: the agent's ends and the process's.
pub(crate) fn pipes() -> io::Result<(Ends, Stdio3)> {
    let (stdin_read, stdin_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stdout_read, stdout_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (stderr_read, stderr_write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((
        Ends {
            stdin: Some(pipe::Sender::from_owned_fd(stdin_write)?),
            stdout: Some(pipe::Receiver::from_owned_fd(stdout_read)?),
            stderr: Some(pipe::Receiver::from_owned_fd(stderr_read)?),
        },
        Stdio3 {
            stdin: stdin_read,
            stdout: stdout_write,
            stderr: stderr_write,
        },
    ))
}

/// The master side of a terminal.
#[derive(Debug)]
pub(crate) struct Pty {
    fd: AsyncFd<OwnedFd>,
}

impl Pty {
    /// Takes a master over.
    pub(crate) fn new(master: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&master, true)?;
        Ok(Self {
            fd: crate::sys::watch(master)?,
        })
    }

    /// Sets the size of the window; the processes get SIGWINCH.
    pub(crate) fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let size = rustix::termios::Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Ok(rustix::termios::tcsetwinsize(
            self.fd.get_ref().as_fd(),
            size,
        )?)
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.fd.readable().await?;
            let result = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *buffer)?));
            match result {
                // What a master says when the last process has closed the terminal.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Ok(0),
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.fd.writable().await?;
            match ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), bytes)?)) {
                Ok(count) => bytes = &bytes[count?..],
                Err(_would_block) => {}
            }
        }
        Ok(())
    }
}

/// Serves the port for ever: each connection is handed to the process that it names.
pub(crate) async fn serve(listener: VsockListener, agent: Arc<Agent>) {
    loop {
        let stream = listen::accept_patiently(&listener).await;
        tokio::spawn(attach(stream, Arc::clone(&agent)));
    }
}

async fn attach(mut stream: VsockStream, agent: Arc<Agent>) {
    let refusal = match listen::first_line(&mut stream).await {
        Ok(line) => match line.parse::<StdioHeader>() {
            Ok(header) => match agent.process(&header.container_id, &header.exec_id) {
                Ok(process) => match process.accepts(header.stream) {
                    Ok(()) => {
                        // One thread, and nothing is awaited after the answer is written: the
                        // engine cannot start the process before it has the stream.
                        if stream.write_all(OK_LINE.as_bytes()).await.is_ok() {
                            process.connect(header.stream, stream);
                        }
                        return;
                    }
                    Err(why) => why.to_owned(),
                },
                Err(failure) => failure.to_string(),
            },
            Err(error) => error.to_string(),
        },
        Err(error) => error.to_string(),
    };
    let _ = stream
        .write_all(format!("ERR {refusal}\n").as_bytes())
        .await;
    let _ = stream.shutdown(Shutdown::Both);
}

/// Moves the bytes of a process that starts now, each stream by a task of its own.
pub(crate) fn relay(
    process: &Arc<Process>,
    mut connections: HashMap<StdioStream, VsockStream>,
    ends: Ends,
) {
    if let Some(pty) = process.pty() {
        let connection = connections.remove(&StdioStream::Terminal);
        tokio::spawn(terminal(pty, connection));
        return;
    }
    if let (Some(stdin), Some(connection)) = (ends.stdin, connections.remove(&StdioStream::Stdin)) {
        tokio::spawn(input(connection, stdin, Arc::clone(process)));
    }
    if let Some(stdout) = ends.stdout {
        tokio::spawn(output(stdout, connections.remove(&StdioStream::Stdout)));
    }
    if let Some(stderr) = ends.stderr {
        tokio::spawn(output(stderr, connections.remove(&StdioStream::Stderr)));
    }
}

/// Engine to process. Ends, and closes the process's standard input, when the engine has closed
/// its half, or asked for it and nothing more has arrived.
async fn input(mut connection: VsockStream, mut stdin: pipe::Sender, process: Arc<Process>) {
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = tokio::select! {
            biased;
            read = connection.read(&mut buffer) => read,
            () = process.close_stdin.notified() => return,
        };
        let Ok(count @ 1..) = read else { return };
        // The process has closed its end, or is gone.
        if stdin.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// Process to engine. Without a connection, or when it has broken, the bytes go nowhere: the
/// process must not stop for that.
async fn output(mut source: impl AsyncRead + Unpin, mut connection: Option<VsockStream>) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(count @ 1..) = source.read(&mut buffer).await {
        if let Some(stream) = &mut connection
            && stream.write_all(&buffer[..count]).await.is_err()
        {
            connection = None;
        }
    }
    if let Some(stream) = connection {
        let _ = stream.shutdown(Shutdown::Write);
    }
}

async fn terminal(pty: Arc<Pty>, connection: Option<VsockStream>) {
    let mut buffer = vec![0; BUFFER];
    let (reader, mut writer) = match connection {
        Some(connection) => {
            let (reader, writer) = connection.into_split();
            (Some(reader), Some(writer))
        }
        None => (None, None),
    };
    let input = reader.map(|mut reader| {
        let pty = Arc::clone(&pty);
        tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                if pty.write_all(&buffer[..count]).await.is_err() {
                    return;
                }
            }
        })
    });
    while let Ok(count @ 1..) = pty.read(&mut buffer).await {
        if let Some(stream) = &mut writer
            && stream.write_all(&buffer[..count]).await.is_err()
        {
            writer = None;
        }
    }
    // Nobody reads the terminal any more, so nothing more is to be written to it.
    if let Some(input) = input {
        input.abort();
    }
    if let Some(mut stream) = writer {
        let _ = stream.shutdown().await;
    }
}
