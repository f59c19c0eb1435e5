//! A container, seen from PID 1: made and started with the help of workers.

use std::collections::HashMap;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libcontainer::container::Container as Runtime;
use rustix::fs::{Mode, OFlags, fstatfs};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Gid, Uid};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use skete_agent_api::agent::CreateContainerRequest;
use tokio::net::UnixListener;

use crate::beneath;
use crate::boot::RUN;
use crate::cgroup::Cgroup;
use crate::create::{Create, RUNTIME_DIR};
use crate::delete::Delete;
use crate::exec::Exec;
use crate::failure::{Failure, Kind};
use crate::lock;
use crate::process::{Phase, Process};
use crate::reaper::{Exit, Reaper};
use crate::stdio::{self, Pty};
use crate::worker::{self, Reply, Request, Stdio3, Worker};

/// The terminal's master has to come within this time after the container was made.
const CONSOLE_TIMEOUT: Duration = Duration::from_secs(10);
/// What is killed has to end within this time.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
/// `DEVPTS_SUPER_MAGIC` of `linux/magic.h`.
const DEVPTS_MAGIC: u64 = 0x1cd1;
/// Execs of a container at once.
const MAX_EXECS: usize = 1024;

/// A container and its processes.
pub(crate) struct Container {
    id: String,
    /// Its cgroup.
    pub(crate) cgroup: Cgroup,
    init: Arc<Process>,
    execs: Mutex<HashMap<String, Arc<ExecProcess>>>,
    /// The worker's socket, left to the process that waits to be started.
    worker: tokio::sync::Mutex<Option<Worker>>,
    reaper: Arc<Reaper>,
}

struct ExecProcess {
    process: Arc<Process>,
    spec: Mutex<String>,
}

fn failed<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> Failure {
    let what = what.to_owned();
    move |error| Failure::new(Kind::Internal, format!("cannot {what}: {error}"))
}

fn utf8(bytes: Vec<u8>, what: &str) -> Result<String, Failure> {
    String::from_utf8(bytes)
        .map_err(|_| Failure::new(Kind::InvalidArgument, format!("the {what} is not UTF-8")))
}

impl Container {
    /// Makes a container; its process waits.
    pub(crate) async fn create(
        request: CreateContainerRequest,
        pid_namespace: Option<i32>,
        reaper: Arc<Reaper>,
    ) -> Result<Self, Failure> {
        let disk = request.rootfs.into_option().ok_or_else(|| {
            Failure::new(
                Kind::InvalidArgument,
                "the container has no root file system",
            )
        })?;
        let init = Arc::new(Process::new(request.terminal));
        let mut create = Create {
            id: request.id.clone(),
            spec: utf8(request.spec, "specification")?,
            rootfs: disk.into(),
            stdio: None,
            console: None,
            pid_namespace,
            block_devices: request.block_devices,
        };
        let since = Instant::now();
        let mut console = None;
        let (mut worker, pid) = if request.terminal {
            let listening = Console::listen(&request.id)?;
            create.console = Some(listening.path.clone());
            console = Some(listening);
            let mut worker = Worker::start(&Request::Create(create), None).await?;
            let pid = worker.pid().await;
            (worker, pid)
        } else {
            let (ends, theirs) = stdio::pipes().map_err(failed("make the streams"))?;
            create.stdio = Some(theirs.numbers());
            let mut worker = Worker::start(&Request::Create(create), Some(theirs)).await?;
            init.set_ends(ends);
            let pid = worker.pid().await;
            (worker, pid)
        };
        let pid = match pid {
            Ok(pid) => pid,
            Err(failure) => {
                // It cleans up after it has told why; the id is free when it has ended.
                let _ = worker.reply().await;
                return Err(failure);
            }
        };
        init.set_pid(pid);
        let container = Self {
            cgroup: Cgroup::of(&request.id),
            id: request.id,
            init,
            execs: Mutex::default(),
            worker: tokio::sync::Mutex::new(Some(worker)),
            reaper,
        };
        container.watch(&container.init, pid, since);
        if let Some(console) = console {
            match console.receive().await {
                Ok(master) => {
                    own_terminal(&master, pid).map_err(failed("give the terminal away"))?;
                    let pty = Pty::new(master).map_err(failed("use the terminal"))?;
                    container.init.set_pty(Arc::new(pty));
                }
                Err(failure) => {
                    let _ = container.remove().await;
                    return Err(failure);
                }
            }
        }
        Ok(container)
    }

    /// Records the end of a process when it comes. When a container's first process ends, what
    /// it has left behind in a shared process namespace ends as well.
    fn watch(&self, process: &Arc<Process>, pid: i32, since: Instant) {
        let ended = self.reaper.watch(pid, since);
        let process = Arc::clone(process);
        let is_init = Arc::ptr_eq(&process, &self.init);
        let cgroup = Cgroup::of(&self.id);
        let oom_kills = if is_init { 0 } else { cgroup.oom_kills() };
        tokio::spawn(async move {
            let Ok(exit) = ended.await else { return };
            if is_init && let Err(error) = cgroup.kill() {
                eprintln!("skete-agent: cannot end a container's processes: {error}");
            }
            let killed = is_init || exit.signal == Some(libc::SIGKILL);
            process.set_exit(exit, killed && cgroup.oom_kills() > oom_kills);
        });
    }

    /// One of its processes; the empty id is the first.
    pub(crate) fn process(&self, exec_id: &str) -> Result<Arc<Process>, Failure> {
        if exec_id.is_empty() {
            return Ok(Arc::clone(&self.init));
        }
        self.exec(exec_id).map(|exec| Arc::clone(&exec.process))
    }

    fn exec(&self, exec_id: &str) -> Result<Arc<ExecProcess>, Failure> {
        lock(&self.execs).get(exec_id).cloned().ok_or_else(|| {
            Failure::new(
                Kind::NotFound,
                format!("no exec `{exec_id}` in the container `{}`", self.id),
            )
        })
    }

    /// Registers a further process.
    pub(crate) fn add_exec(
        &self,
        exec_id: String,
        process: Vec<u8>,
        terminal: bool,
    ) -> Result<(), Failure> {
        let spec = utf8(process, "process")?;
        // Tells what is wrong with it now, not when it is started.
        crate::spec::parse_process(&spec)?;
        self.running()?;
        let mut execs = lock(&self.execs);
        if execs.contains_key(&exec_id) {
            return Err(Failure::new(
                Kind::AlreadyExists,
                format!("an exec `{exec_id}` exists already"),
            ));
        }
        if execs.len() >= MAX_EXECS {
            return Err(Failure::new(
                Kind::FailedPrecondition,
                format!("{MAX_EXECS} execs at once are too many"),
            ));
        }
        let exec = ExecProcess {
            process: Arc::new(Process::new(terminal)),
            spec: Mutex::new(spec),
        };
        execs.insert(exec_id, Arc::new(exec));
        Ok(())
    }

    fn running(&self) -> Result<i32, Failure> {
        let stopped = || {
            Failure::new(
                Kind::FailedPrecondition,
                format!("the container `{}` is not running", self.id),
            )
        };
        if self.init.phase() != Phase::Started || self.init.exit().is_some() {
            return Err(stopped());
        }
        self.init.pid().ok_or_else(stopped)
    }

    /// Starts a process; gives its id.
    pub(crate) async fn start(&self, exec_id: &str) -> Result<i32, Failure> {
        if exec_id.is_empty() {
            self.start_init().await
        } else {
            self.start_exec(&*self.exec(exec_id)?).await
        }
    }

    async fn start_init(&self) -> Result<i32, Failure> {
        let pid = self
            .init
            .pid()
            .ok_or_else(|| Failure::new(Kind::Internal, "the container has no process"))?;
        if self.init.exit().is_some() {
            return Err(Failure::new(
                Kind::FailedPrecondition,
                format!("the container `{}` ended before it was started", self.id),
            ));
        }
        let (connections, ends) = self.init.begin()?;
        stdio::relay(&self.init, connections, ends);
        let mut runtime = Runtime::load(Path::new(RUN).join(RUNTIME_DIR).join(&self.id))
            .map_err(|error| Failure::internal(&error))?;
        runtime.start().map_err(|error| Failure::internal(&error))?;
        let Some(mut worker) = self.worker.lock().await.take() else {
            return Ok(pid);
        };
        // The end of the stream: the program runs.
        match worker.reply().await? {
            Some(Reply::Failed(failure)) => Err(failure),
            _ => Ok(pid),
        }
    }

    async fn start_exec(&self, exec: &ExecProcess) -> Result<i32, Failure> {
        let init = self.running()?;
        if self.cgroup.is_frozen() {
            return Err(Failure::new(
                Kind::FailedPrecondition,
                format!("the container `{}` is paused", self.id),
            ));
        }
        let (connections, _) = exec.process.begin()?;
        let started = self.launch(exec, init, connections).await;
        if let Err(failure) = &started {
            let code = u32::try_from(failure.exit_code()).unwrap_or(126);
            exec.process.set_exit(Exit::with_code(code), false);
        }
        started
    }

    async fn launch(
        &self,
        exec: &ExecProcess,
        init: i32,
        connections: HashMap<skete_agent_api::StdioStream, tokio_vsock::VsockStream>,
    ) -> Result<i32, Failure> {
        let process = &exec.process;
        let (ends, theirs) = if process.terminal {
            let (master, theirs) =
                open_terminal(init).map_err(failed("open a terminal in the container"))?;
            process.set_pty(Arc::new(
                Pty::new(master).map_err(failed("use the terminal"))?,
            ));
            (stdio::Ends::default(), theirs)
        } else {
            stdio::pipes().map_err(failed("make the streams"))?
        };
        let request = Request::Exec(Exec {
            id: self.id.clone(),
            init,
            process: std::mem::take(&mut *lock(&exec.spec)),
            stdio: theirs.numbers(),
            terminal: process.terminal,
        });
        let since = Instant::now();
        let worker = Worker::start(&request, Some(theirs)).await;
        stdio::relay(process, connections, ends);
        let mut worker = worker?;
        let pid = worker.pid().await?;
        process.set_pid(pid);
        self.watch(process, pid, since);
        // The end of the stream: the program runs.
        while let Some(reply) = worker.reply().await? {
            if let Reply::Failed(failure) = reply {
                return Err(failure);
            }
        }
        Ok(pid)
    }

    /// Forgets an ended exec.
    pub(crate) fn delete_exec(&self, exec_id: &str) -> Result<(), Failure> {
        let exec = self.exec(exec_id)?;
        if exec.process.phase() == Phase::Started && exec.process.exit().is_none() {
            return Err(Failure::new(
                Kind::FailedPrecondition,
                format!("the exec `{exec_id}` is running"),
            ));
        }
        lock(&self.execs).remove(exec_id);
        Ok(())
    }

    /// Whether it can be removed: its first process has ended, or was never started.
    pub(crate) fn check_removable(&self) -> Result<(), Failure> {
        if self.init.phase() == Phase::Started && self.init.exit().is_none() {
            return Err(Failure::new(
                Kind::FailedPrecondition,
                format!("the container `{}` is running", self.id),
            ));
        }
        Ok(())
    }

    /// Ends what is left of it, unmounts its root, removes its scratch space.
    pub(crate) async fn remove(&self) -> Result<(), Failure> {
        self.cgroup
            .kill()
            .map_err(failed("end the container's processes"))?;
        // Its socket would otherwise outlive the process that never ran.
        self.worker.lock().await.take();
        if tokio::time::timeout(KILL_TIMEOUT, self.init.wait())
            .await
            .is_err()
        {
            return Err(Failure::new(
                Kind::DeadlineExceeded,
                format!("the container `{}` does not end", self.id),
            ));
        }
        worker::run(&Request::Delete(Delete {
            id: self.id.clone(),
        }))
        .await
    }
}

/// Where libcontainer sends the master of a container's terminal.
struct Console {
    path: PathBuf,
    listener: UnixListener,
}

impl Console {
    fn listen(id: &str) -> Result<Self, Failure> {
        let directory = Path::new(RUN).join("console");
        let listen = || -> std::io::Result<Self> {
            std::fs::create_dir_all(&directory)?;
            let path = directory.join(id);
            let listener = StdListener::bind(&path)?;
            listener.set_nonblocking(true)?;
            Ok(Self {
                path,
                listener: UnixListener::from_std(listener)?,
            })
        };
        listen().map_err(failed("listen for the terminal"))
    }

    async fn receive(&self) -> Result<OwnedFd, Failure> {
        let receive = async {
            let (stream, _) = self.listener.accept().await?;
            stream.readable().await?;
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut bytes = [0; 64];
            recvmsg(
                &stream,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )?;
            let fd = control.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                _ => None,
            });
            fd.ok_or_else(|| std::io::Error::other("it was not sent"))
        };
        tokio::time::timeout(CONSOLE_TIMEOUT, receive)
            .await
            .map_err(|_| Failure::new(Kind::DeadlineExceeded, "the terminal did not come"))?
            .map_err(failed("take the terminal"))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens a terminal of the container's own devpts: its master, and the other side three times.
fn open_terminal(init: i32) -> std::io::Result<(OwnedFd, Stdio3)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(format!("/proc/{init}/root"), flags, Mode::empty())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK;
    let ptmx = Path::new("dev/pts/ptmx");
    let master = beneath::open(
        std::os::fd::AsFd::as_fd(&root),
        ptmx,
        flags,
        Mode::empty(),
        false,
    )?;
    // The container could have put anything there.
    if u64::try_from(fstatfs(&master)?.f_type) != Ok(DEVPTS_MAGIC) {
        return Err(std::io::Error::other("/dev/pts/ptmx is no terminal"));
    }
    unlockpt(&master)?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let stdin = ioctl_tiocgptpeer(&master, peer)?;
    let (stdout, stderr) = (stdin.try_clone()?, stdin.try_clone()?);
    Ok((
        master,
        Stdio3 {
            stdin,
            stdout,
            stderr,
        },
    ))
}

/// Makes the user of a process the owner of its terminal, so that it can open it again.
fn own_terminal(master: &OwnedFd, pid: i32) -> std::io::Result<()> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let id = |key: &str| -> Option<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    let none = || std::io::Error::other("it has no user");
    let uid = id("Uid:").ok_or_else(none)?;
    let gid = id("Gid:").ok_or_else(none)?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let peer = ioctl_tiocgptpeer(master, peer)?;
    Ok(rustix::fs::fchown(
        &peer,
        Some(Uid::from_raw(uid)),
        Some(Gid::from_raw(gid)),
    )?)
}
