//! Starts a further process in a container. Runs in a worker.
//!
//! libcontainer's own way is not used: it leaves out the container's seccomp filter and user
//! namespace, and starts processes without telling why one could not be started.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use libcontainer::capabilities;
use libcontainer::seccomp::initialize_seccomp;
use libcontainer::syscall::syscall::create_syscall;
use nix::sched::{CloneFlags, setns};
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{LinuxSeccomp, Process};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::boot::CGROUP_ROOT;
use crate::create::{bundle, outer_ids, own, variable};
use crate::failure::{Failure, Kind, chain};
use crate::worker::{Control, Reply, Stdio3, StdioFds};
use crate::{lookup, spec, sys, user};

/// A process to be started in a running container.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Exec {
    /// The container.
    pub(crate) id: String,
    /// Its first process, which PID 1 has not reaped.
    pub(crate) init: i32,
    /// The OCI `process` object, JSON.
    pub(crate) process: String,
    /// Its streams, inherited; all the same terminal if it has one.
    pub(crate) stdio: StdioFds,
    /// Whether they are a terminal.
    pub(crate) terminal: bool,
}

/// The step of a start that failed.
#[derive(Debug, thiserror::Error)]
enum ExecError {
    /// A file of the kernel's, or a system call.
    #[error("cannot {step}")]
    Step {
        step: &'static str,
        #[source]
        source: io::Error,
    },
    /// The working directory is outside of the container.
    #[error("the working directory {0} is not in the container")]
    Outside(PathBuf),
}

fn step<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> ExecError {
    move |error| ExecError::Step {
        step,
        source: error.into(),
    }
}

fn other(error: impl std::error::Error + 'static) -> io::Error {
    io::Error::other(chain(&error))
}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Self {
        Self::internal(&error)
    }
}

/// All that the new process needs, gathered before it leaves the guest's namespaces.
struct Plan {
    process: Process,
    seccomp: Option<LinuxSeccomp>,
    pidfd: OwnedFd,
    namespaces: CloneFlags,
    cgroups: Vec<File>,
    home: String,
    control: Control,
}

const NAMESPACES: [(&str, CloneFlags); 6] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("mnt", CloneFlags::CLONE_NEWNS),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("net", CloneFlags::CLONE_NEWNET),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
];

impl Exec {
    pub(crate) fn run(self, control: &Control) -> Result<Reply, Failure> {
        let stdio = Stdio3::inherited(self.stdio).map_err(step("take the streams over"))?;
        let terminal = self.terminal;
        let plan = self.plan(&stdio, control)?;
        // Only children enter it: the new process is the first.
        setns(&plan.pidfd, CloneFlags::CLONE_NEWPID)
            .map_err(step("enter the process namespace"))?;
        let (go, wait) = pipe_with(PipeFlags::CLOEXEC)
            .map(|(read, write)| (write, read))
            .map_err(step("make a pipe"))?;
        match sys::fork().map_err(step("start the process"))? {
            sys::Fork::Parent(pid) => {
                // The process has to be the only one with its terminal open: if another one had
                // when it ends, the kernel would throw away what has not been read yet.
                drop(stdio);
                control
                    .send(&Reply::Pid(pid))
                    .map_err(step("tell of the process"))?;
                drop(go);
                Ok(Reply::Done)
            }
            sys::Fork::Child => {
                drop(go);
                let Err(failure) = become_process(&plan, stdio, wait, terminal);
                let _ = plan.control.send(&Reply::Failed(failure.clone()));
                std::process::exit(failure.exit_code());
            }
        }
    }

    fn plan(self, stdio: &Stdio3, control: &Control) -> Result<Plan, Failure> {
        let config = fs::read_to_string(bundle(&self.id).join("config.json"))
            .map_err(step("read the container's specification"))?;
        let container = spec::parse(&config)?;
        let mut process = spec::parse_process(&self.process)?;
        let pid = Pid::from_raw(self.init)
            .ok_or_else(|| Failure::new(Kind::Internal, "the container has no process"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(step("find the container"))?;
        let proc = PathBuf::from(format!("/proc/{}", self.init));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(proc.join("root"), flags, Mode::empty())
            .map_err(step("open the container's root"))?;
        user::resolve(&mut process, root.as_fd())?;
        let home = user::home(root.as_fd(), process.user().uid());
        let (uid, gid) = outer_ids(&container, process.user().uid(), process.user().gid());
        own(stdio, uid, gid).map_err(step("give the streams away"))?;
        Ok(Plan {
            seccomp: container
                .linux()
                .as_ref()
                .and_then(|linux| linux.seccomp().clone()),
            namespaces: foreign_namespaces(&proc).map_err(step("look at the namespaces"))?,
            cgroups: cgroups(&self.id, &proc),
            control: control.duplicate().map_err(step("keep the socket"))?,
            process,
            pidfd,
            home,
        })
    }
}

/// The container's namespaces that are not the guest's: the kernel refuses to join a user
/// namespace again.
fn foreign_namespaces(proc: &Path) -> io::Result<CloneFlags> {
    let mut flags = CloneFlags::empty();
    for (name, flag) in NAMESPACES {
        let theirs = fs::metadata(proc.join("ns").join(name))?;
        let ours = fs::metadata(Path::new("/proc/self/ns").join(name))?;
        if theirs.ino() != ours.ino() {
            flags |= flag;
        }
    }
    Ok(flags)
}

/// Where the new process may be counted: the container's cgroup, or, if its processes have
/// handed controllers to cgroups of their own and nothing may be in it any more, the one that its
/// first process is in.
fn cgroups(id: &str, proc: &Path) -> Vec<File> {
    let own = Path::new("skete").join(id);
    let first = fs::read_to_string(proc.join("cgroup")).unwrap_or_default();
    let first = first
        .trim_end()
        .strip_prefix("0::/")
        .map(PathBuf::from)
        .filter(|path| path.starts_with(&own));
    [Some(own), first]
        .into_iter()
        .flatten()
        .filter_map(|path| {
            let procs = Path::new(CGROUP_ROOT).join(path).join("cgroup.procs");
            File::options().write(true).open(procs).ok()
        })
        .collect()
}

/// What happens in the new process before its program runs.
fn become_process(
    plan: &Plan,
    stdio: Stdio3,
    wait: OwnedFd,
    terminal: bool,
) -> Result<Infallible, Failure> {
    let process = &plan.process;
    // The end of the pipe: the worker has closed its copies of the streams.
    File::from(wait)
        .read_to_end(&mut Vec::new())
        .map_err(step("wait for the start"))?;
    rustix::stdio::dup2_stdin(&stdio.stdin).map_err(step("use the streams"))?;
    rustix::stdio::dup2_stdout(&stdio.stdout).map_err(step("use the streams"))?;
    rustix::stdio::dup2_stderr(&stdio.stderr).map_err(step("use the streams"))?;
    drop(stdio);
    let joined = plan
        .cgroups
        .iter()
        .any(|mut procs| procs.write_all(b"0").is_ok());
    if !joined {
        return Err(Failure::new(
            Kind::Internal,
            "cannot join the container's cgroup",
        ));
    }
    if let Some(score) = process.oom_score_adj() {
        fs::write("/proc/self/oom_score_adj", score.to_string())
            .map_err(step("set the out-of-memory score"))?;
    }
    rustix::process::setsid().map_err(step("begin a session"))?;
    if terminal {
        rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())
            .map_err(step("take the terminal"))?;
    }
    setns(&plan.pidfd, plan.namespaces).map_err(step("enter the container"))?;
    let syscall = create_syscall();
    for limit in process.rlimits().as_deref().unwrap_or_default() {
        syscall
            .set_rlimit(limit)
            .map_err(other)
            .map_err(step("set a limit"))?;
    }
    let no_new_privileges = process.no_new_privileges() == Some(true);
    if no_new_privileges {
        prctl::set_no_new_privileges(true)
            .map_err(io::Error::from_raw_os_error)
            .map_err(step("give up new privileges"))?;
    }
    if plan.namespaces.contains(CloneFlags::CLONE_NEWUSER) {
        syscall
            .set_id(Uid::from_raw(0), Gid::from_raw(0))
            .map_err(other)
            .map_err(step("become root in the user namespace"))?;
    }
    // As root it may be allowed where the user is not, and the other way round on some volumes.
    let inside = std::env::set_current_dir(process.cwd()).is_ok();
    let user = process.user();
    let groups: Vec<Gid> = user
        .additional_gids()
        .iter()
        .flatten()
        .map(|gid| Gid::from_raw(*gid))
        .collect();
    syscall
        .set_groups(&groups)
        .map_err(other)
        .map_err(step("set the groups"))?;
    syscall
        .set_id(Uid::from_raw(user.uid()), Gid::from_raw(user.gid()))
        .map_err(other)
        .map_err(step("become the user"))?;
    // Without no_new_privs only who may administer the system can load a filter.
    if !no_new_privileges {
        load(plan.seccomp.as_ref())?;
    }
    drop_capabilities(process)?;
    if !inside {
        std::env::set_current_dir(process.cwd()).map_err(step("enter the working directory"))?;
    }
    let cwd = std::env::current_dir().map_err(step("see the working directory"))?;
    if !cwd.is_absolute() {
        return Err(ExecError::Outside(cwd).into());
    }
    if no_new_privileges {
        load(plan.seccomp.as_ref())?;
    }
    if let Some(mask) = user.umask() {
        rustix::process::umask(Mode::from_raw_mode(mask));
    }
    let mut environment = process.env().clone().unwrap_or_default();
    if variable(&environment, "HOME").is_none() {
        environment.push(format!("HOME={}", plan.home));
    }
    let arguments = process.args().clone().unwrap_or_default();
    let name = arguments.first().ok_or(lookup::LookupError::Empty)?;
    let file = lookup::find(name, variable(&environment, "PATH"))?;
    Ok(lookup::execute(&file, &arguments, &environment)?)
}

fn load(seccomp: Option<&LinuxSeccomp>) -> Result<(), ExecError> {
    let Some(seccomp) = seccomp else {
        return Ok(());
    };
    initialize_seccomp(seccomp)
        .map(drop)
        .map_err(other)
        .map_err(step("load the seccomp filter"))
}

fn drop_capabilities(process: &Process) -> Result<(), ExecError> {
    let syscall = create_syscall();
    let dropped = capabilities::reset_effective(syscall.as_ref()).and_then(|()| {
        process.capabilities().as_ref().map_or(Ok(()), |wanted| {
            capabilities::drop_privileges(wanted, syscall.as_ref())
        })
    });
    dropped.map_err(other).map_err(step("set the capabilities"))
}
