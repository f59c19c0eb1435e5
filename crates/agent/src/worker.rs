//! Worker processes: PID 1 starts this program again for whatever forks, blocks or may hang.
//!
//! A worker has one thread, its standard input is a socket to PID 1. PID 1 writes one
//! [`Request`], JSON, and closes its half; the worker answers with [`Reply`] lines. A worker that
//! starts a container process leaves its end of the socket to that process, close-on-exec, so
//! that PID 1 reads the end of the stream when the program of the container runs, and a
//! [`Reply::Failed`] before it if it could not be started.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::failure::{Failure, Kind};
use crate::{create, delete, disk, exec, pidns, volume_mount};

/// The hidden subcommand.
pub(crate) const SUBCOMMAND: &str = "worker";
/// No request is longer, in bytes; ttrpc's own bound on a message is 4 MiB.
const MAX_REQUEST: u64 = 16 << 20;
/// No reply line is longer, in bytes.
const MAX_REPLY: u64 = 64 << 10;
/// A worker that takes longer is ended.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a worker is asked to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Mounts the root file system and makes the container.
    Create(create::Create),
    /// Starts a further process in a container.
    Exec(exec::Exec),
    /// Unmounts a container's root and removes all that is left of it.
    Delete(delete::Delete),
    /// Removes a tree.
    Remove(delete::Remove),
    /// Makes the process-id namespace that the containers share.
    PidNamespace,
    /// Mounts a volume.
    MountVolume(volume_mount::MountVolume),
    /// Waits for the disk with this serial number.
    FindDisk(String),
}

/// What a worker answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The process made or started.
    Pid(i32),
    /// The kernel's name of the disk found.
    Name(String),
    /// More about a failure that may follow.
    Note(String),
    /// All done, nothing to tell.
    Done,
    /// It could not be done.
    Failed(Failure),
}

/// The standard streams that a worker hands to a container process: descriptor numbers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct StdioFds {
    /// Standard input.
    pub(crate) stdin: RawFd,
    /// Standard output.
    pub(crate) stdout: RawFd,
    /// Standard error.
    pub(crate) stderr: RawFd,
}

/// The three streams of a process, as its own ends.
#[derive(Debug)]
pub(crate) struct Stdio3 {
    /// Standard input.
    pub(crate) stdin: OwnedFd,
    /// Standard output.
    pub(crate) stdout: OwnedFd,
    /// Standard error.
    pub(crate) stderr: OwnedFd,
}

impl Stdio3 {
    /// The numbers to put in a request.
    pub(crate) fn numbers(&self) -> StdioFds {
        StdioFds {
            stdin: self.stdin.as_raw_fd(),
            stdout: self.stdout.as_raw_fd(),
            stderr: self.stderr.as_raw_fd(),
        }
    }

    /// Borrowed, to be inherited by a worker.
    pub(crate) fn borrowed(&self) -> [BorrowedFd<'_>; 3] {
        [self.stdin.as_fd(), self.stdout.as_fd(), self.stderr.as_fd()]
    }

    /// Takes over what a worker was started with.
    pub(crate) fn inherited(fds: StdioFds) -> io::Result<Self> {
        Ok(Self {
            stdin: crate::sys::inherited(fds.stdin)?,
            stdout: crate::sys::inherited(fds.stdout)?,
            stderr: crate::sys::inherited(fds.stderr)?,
        })
    }
}

/// A worker that was started, seen from PID 1.
pub(crate) struct Worker {
    replies: BufReader<UnixStream>,
    pid: u32,
}

impl Worker {
    /// Starts a worker on a request; it inherits the streams given, under the same numbers.
    pub(crate) async fn start(request: &Request, streams: Option<Stdio3>) -> Result<Self, Failure> {
        let text = serde_json::to_vec(request).map_err(|error| Failure::internal(&error))?;
        let inherit = streams.as_ref().map(Stdio3::borrowed);
        let spawned = spawn(inherit.as_ref().map_or(&[], |fds| fds.as_slice()));
        // From here on they end when the process closes them.
        drop(streams);
        let (ours, pid) = spawned.map_err(|error| {
            Failure::new(Kind::Internal, format!("cannot start a worker: {error}"))
        })?;
        let mut stream = UnixStream::from_std(ours).map_err(|error| Failure::internal(&error))?;
        let worker = |stream| Self {
            replies: BufReader::with_capacity(1024, stream),
            pid,
        };
        let sent = async {
            stream.write_all(&text).await?;
            stream.shutdown().await
        };
        match tokio::time::timeout(TIMEOUT, sent).await {
            Ok(Ok(())) => Ok(worker(stream)),
            Ok(Err(error)) => Err(Failure::internal(&error)),
            Err(_) => Err(worker(stream).overdue()),
        }
    }

    /// The next reply that is no note; none if the worker, and who took its socket over, have closed it.
    pub(crate) async fn reply(&mut self) -> Result<Option<Reply>, Failure> {
        let mut note = None;
        loop {
            match self.any_reply().await? {
                Some(Reply::Note(text)) => {
                    // The first comes from where it happened.
                    note.get_or_insert(text);
                }
                Some(Reply::Failed(failure)) => {
                    let told = failure.kind != Kind::Internal;
                    return Ok(Some(Reply::Failed(match note {
                        Some(note) if !told => {
                            Failure::new(failure.kind, format!("{}: {note}", failure.message))
                        }
                        _ => failure,
                    })));
                }
                other => return Ok(other),
            }
        }
    }

    async fn any_reply(&mut self) -> Result<Option<Reply>, Failure> {
        let mut line = Vec::new();
        let read = async {
            let mut bounded = (&mut self.replies).take(MAX_REPLY);
            bounded.read_until(b'\n', &mut line).await
        };
        match tokio::time::timeout(TIMEOUT, read).await {
            Ok(Ok(0)) => Ok(None),
            Ok(Ok(_)) => serde_json::from_slice(&line)
                .map(Some)
                .map_err(|error| Failure::internal(&error)),
            Ok(Err(error)) => Err(Failure::internal(&error)),
            Err(_) => Err(self.overdue()),
        }
    }

    /// A reply that has to come, and not be a failure.
    pub(crate) async fn answer(&mut self) -> Result<Reply, Failure> {
        match self.reply().await? {
            Some(Reply::Failed(failure)) => Err(failure),
            Some(reply) => Ok(reply),
            None => Err(Failure::new(
                Kind::Internal,
                "a worker ended without an answer",
            )),
        }
    }

    /// A reply that has to be a process id.
    pub(crate) async fn pid(&mut self) -> Result<i32, Failure> {
        match self.answer().await? {
            Reply::Pid(pid) => Ok(pid),
            other => Err(Failure::new(
                Kind::Internal,
                format!("a worker answered {other:?}"),
            )),
        }
    }

    fn overdue(&self) -> Failure {
        let pid = i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // At worst it has just ended: its id is not given away before we reap it.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        Failure::new(
            Kind::DeadlineExceeded,
            format!("not done after {} s", TIMEOUT.as_secs()),
        )
    }
}

/// Asks a worker for something that has no answer but done.
pub(crate) async fn run(request: &Request) -> Result<(), Failure> {
    Worker::start(request, None).await?.answer().await.map(drop)
}

/// This process has one thread and starts children nowhere else, so no other child can inherit
/// the descriptors while they are not close-on-exec.
fn spawn(inherit: &[BorrowedFd<'_>]) -> io::Result<(StdStream, u32)> {
    let (ours, theirs) = StdStream::pair()?;
    ours.set_nonblocking(true)?;
    for fd in inherit {
        fcntl_setfd(fd, FdFlags::empty())?;
    }
    let child = Command::new("/proc/self/exe")
        .arg(SUBCOMMAND)
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .spawn();
    for fd in inherit {
        fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    }
    // The reaper waits for it.
    Ok((ours, child?.id()))
}

/// The worker's end of the socket.
pub(crate) struct Control {
    stream: StdStream,
}

impl Control {
    /// Writes one reply.
    pub(crate) fn send(&self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        (&self.stream).write_all(&line)
    }

    /// Another handle to the same socket, close-on-exec.
    pub(crate) fn duplicate(&self) -> io::Result<Self> {
        Ok(Self {
            stream: self.stream.try_clone()?,
        })
    }
}

/// What the program does when started as a worker.
pub(crate) fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skete-agent: worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    crate::sys::default_sigpipe();
    // Nothing inside a container may trace or read a process that has entered it on our behalf.
    let _ = prctl::set_dumpable(false);
    // PID 1 is exempt from the out-of-memory killer; what it starts is not.
    std::fs::write("/proc/self/oom_score_adj", "0")?;
    let control = Control {
        stream: io::stdin().as_fd().try_clone_to_owned()?.into(),
    };
    let mut text = Vec::new();
    (&control.stream).take(MAX_REQUEST).read_to_end(&mut text)?;
    let request = serde_json::from_slice(&text)?;
    drop(text);
    let result = match request {
        Request::Create(create) => create.run(&control),
        Request::Exec(exec) => exec.run(&control),
        Request::Delete(delete) => delete.run().map(|()| Reply::Done),
        Request::Remove(remove) => remove.run().map(|()| Reply::Done),
        Request::MountVolume(volume) => volume.run().map(|()| Reply::Done),
        Request::PidNamespace => pidns::make().map(Reply::Pid),
        Request::FindDisk(serial) => disk::find(&serial).map(Reply::Name).map_err(Failure::from),
    };
    control.send(&result.unwrap_or_else(Reply::Failed))
}
