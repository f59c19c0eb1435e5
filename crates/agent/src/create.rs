//! Makes a container: its root, its process waiting to be started. Runs in a worker.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use libcontainer::workload::{self, ExecutorError, ExecutorValidationError};
use oci_spec::runtime::{LinuxIdMapping, Mount, Spec};
use rustix::fs::{CWD, FileType, Mode, OFlags, fchown, fstat, mkdirat};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::process::{Gid, Uid};
use serde::{Deserialize, Serialize};
use skete_agent_api::VOLUMES_DIR;

use crate::boot::{CGROUP_PARENT, RUN};
use crate::failure::{Failure, Kind};
use crate::rootfs::{self, LayerDisk, Owners};
use crate::worker::{Control, Reply, Stdio3, StdioFds};
use crate::{beneath, delete, devices, disk, lookup, notes, spec, user, userns};

/// Directory below [`RUN`] where libcontainer keeps its state.
pub(crate) const RUNTIME_DIR: &str = "runtime";

/// A container to be made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Create {
    /// Its id, checked by PID 1.
    pub(crate) id: String,
    /// The OCI specification, JSON.
    pub(crate) spec: String,
    /// Where its image is.
    pub(crate) rootfs: LayerDisk,
    /// Its streams, inherited; none if it has a terminal.
    pub(crate) stdio: Option<StdioFds>,
    /// The socket that wants its terminal's master.
    pub(crate) console: Option<PathBuf>,
    /// First process of the process-id namespace it is to join.
    pub(crate) pid_namespace: Option<i32>,
    /// The serials of the disks that its block devices stand for, by their paths.
    pub(crate) block_devices: HashMap<String, String>,
}

/// Where a container's specification, root and mount points are.
pub(crate) fn bundle(id: &str) -> PathBuf {
    Path::new(RUN).join("containers").join(id)
}

fn internal(what: &str) -> impl Fn(io::Error) -> Failure {
    let what = what.to_owned();
    move |error| Failure::new(Kind::Internal, format!("{what}: {error}"))
}

impl Create {
    pub(crate) fn run(self, control: &Control) -> Result<Reply, Failure> {
        let id = self.id.clone();
        let bundle = bundle(&id);
        fs::create_dir(&bundle).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Failure::new(
                Kind::AlreadyExists,
                format!("a container `{id}` exists already"),
            ),
            _ => internal("cannot make the container's directory")(error),
        })?;
        let made = self.make(&bundle, control);
        if made.is_err() {
            // The first failure is the one to tell.
            let _ = delete::clean(&id);
        }
        made.map(Reply::Pid)
    }

    fn make(self, bundle: &Path, control: &Control) -> Result<i32, Failure> {
        let stdio = self
            .stdio
            .map(Stdio3::inherited)
            .transpose()
            .map_err(internal("cannot take the streams over"))?;
        let mut spec = spec::parse(&self.spec)?;
        number_block_devices(&mut spec, &self.block_devices)?;
        let namespace = userns::of(&spec).map_err(internal("cannot make a user namespace"))?;
        let owners = namespace.map(|namespace| Owners {
            namespace,
            root: outer_ids(&spec, 0, 0),
        });
        let root = rootfs::mount(&self.id, bundle, &self.rootfs, owners.as_ref())?;
        let pids = self
            .pid_namespace
            .map(|pid| PathBuf::from(format!("/proc/{pid}/ns/pid")));
        spec::adapt(&mut spec, &self.id, &root, self.console.is_some(), pids)?;
        prepare_root(&mut spec, &root)?;
        stage_mounts(&mut spec, bundle)?;
        if let Some(stdio) = &stdio {
            give_streams(stdio, &spec).map_err(internal("cannot give the streams away"))?;
        }
        let text = serde_json::to_vec(&spec).map_err(|error| Failure::internal(&error))?;
        fs::write(bundle.join("config.json"), text)
            .map_err(internal("cannot write the specification"))?;
        let executor = Executor {
            control: Rc::new(
                control
                    .duplicate()
                    .map_err(internal("cannot keep the socket"))?,
            ),
        };
        let mut builder = ContainerBuilder::new(self.id.clone(), SyscallType::default())
            .with_executor(executor)
            .with_root_path(Path::new(RUN).join(RUNTIME_DIR))
            .map_err(|error| Failure::internal(&error))?
            .with_console_socket(self.console);
        if let Some(stdio) = stdio {
            builder = builder
                .with_stdin(stdio.stdin)
                .with_stdout(stdio.stdout)
                .with_stderr(stdio.stderr);
        }
        notes::hear(control.duplicate().map_err(internal("keep the socket"))?);
        let container = builder
            .as_init(bundle)
            .with_systemd(false)
            .build()
            .map_err(|error| Failure::internal(&error))?;
        let cgroup = Path::new(CGROUP_PARENT).join(&self.id);
        devices::restrict(&cgroup, &spec).map_err(internal("cannot restrict the devices"))?;
        container
            .pid()
            .map(|pid| pid.as_raw())
            .ok_or_else(|| Failure::new(Kind::Internal, "the container has no process"))
    }
}

/// The specification has the numbers of the host's devices; the guest's disks have their own.
fn number_block_devices(spec: &mut Spec, serials: &HashMap<String, String>) -> Result<(), Failure> {
    let Some(linux) = spec.linux_mut().as_mut().filter(|_| !serials.is_empty()) else {
        return Ok(());
    };
    let mut devices = linux.devices().clone().unwrap_or_default();
    for device in &mut devices {
        let path = device.path().to_string_lossy().into_owned();
        if let Some(serial) = serials.get(&path) {
            let (major, minor) = disk::numbers(&disk::find(serial)?)
                .map_err(internal("cannot read the numbers of a disk"))?;
            device.set_major(major).set_minor(minor);
        }
    }
    linux.set_devices(Some(devices));
    Ok(())
}

/// What runtimes do with a root before the container sees it: names become numbers, and the
/// working directory exists.
fn prepare_root(spec: &mut Spec, root: &Path) -> Result<(), Failure> {
    let root = beneath::open_root(root).map_err(internal("cannot open the container's root"))?;
    let Some(mut process) = spec.process().clone() else {
        return Ok(());
    };
    user::resolve(&mut process, root.as_fd())?;
    beneath::make_directories(root.as_fd(), process.cwd(), 0o755, true).map_err(|error| {
        Failure::new(
            Kind::InvalidArgument,
            format!(
                "cannot use the working directory {}: {error}",
                process.cwd().display()
            ),
        )
    })?;
    spec.set_process(Some(process));
    Ok(())
}

/// Binds each part of a volume that is to be mounted to a place of ours, resolved so that no
/// symbolic link made in the volume leads out of it.
fn stage_mounts(spec: &mut Spec, bundle: &Path) -> Result<(), Failure> {
    let Some(mut mounts) = spec.mounts().clone() else {
        return Ok(());
    };
    let staging = bundle.join("mounts");
    for (index, mount) in mounts.iter_mut().enumerate() {
        let Some((volume, rest)) = volume_part(mount) else {
            continue;
        };
        let target = staging.join(index.to_string());
        stage(&volume, &rest, &target).map_err(|error| {
            Failure::new(
                Kind::InvalidArgument,
                format!("cannot use {} of a volume: {error}", rest.display()),
            )
        })?;
        mount.set_source(Some(target));
    }
    spec.set_mounts(Some(mounts));
    Ok(())
}

/// The volume's directory and the path below it, of a mount of a part of a volume.
fn volume_part(mount: &Mount) -> Option<(PathBuf, PathBuf)> {
    let below = mount.source().as_ref()?.strip_prefix(VOLUMES_DIR).ok()?;
    let mut components = below.components();
    let name = components.next()?;
    let rest = components.as_path();
    (!rest.as_os_str().is_empty()).then(|| (Path::new(VOLUMES_DIR).join(name), rest.to_owned()))
}

fn stage(volume: &Path, rest: &Path, target: &Path) -> io::Result<()> {
    let root = beneath::open_root(volume)?;
    let opened = beneath::open(root.as_fd(), rest, OFlags::PATH, Mode::empty(), true);
    let part = match opened {
        // A part that is not there yet becomes a directory with the mode of the volume.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mode = fstat(&root)?.st_mode & 0o7777;
            beneath::make_directories(root.as_fd(), rest, mode, true)?
        }
        other => other?,
    };
    fs::create_dir_all(target.parent().unwrap_or(target))?;
    if FileType::from_raw_mode(fstat(&part)?.st_mode) == FileType::Directory {
        mkdirat(CWD, target, Mode::from_raw_mode(0o755))?;
    } else {
        fs::File::create_new(target)?;
    }
    let clone = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(part.as_fd(), "", clone)?;
    let from_itself = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(tree.as_fd(), "", CWD, target, from_itself)?)
}

/// Makes the process's user the owner of its pipes, so that it can open `/dev/stdout` again.
fn give_streams(stdio: &Stdio3, spec: &Spec) -> io::Result<()> {
    let (uid, gid) = spec.process().as_ref().map_or((0, 0), |process| {
        (process.user().uid(), process.user().gid())
    });
    let (uid, gid) = outer_ids(spec, uid, gid);
    own(stdio, uid, gid)
}

/// A container's user and group as the guest sees them.
pub(crate) fn outer_ids(spec: &Spec, uid: u32, gid: u32) -> (u32, u32) {
    let linux = spec.linux().as_ref();
    let uids = linux.and_then(|linux| linux.uid_mappings().as_deref());
    let gids = linux.and_then(|linux| linux.gid_mappings().as_deref());
    (outer_id(uids, uid), outer_id(gids, gid))
}

fn outer_id(mappings: Option<&[LinuxIdMapping]>, id: u32) -> u32 {
    let mapped = mappings.unwrap_or_default().iter().find_map(|mapping| {
        let distance = id.checked_sub(mapping.container_id())?;
        (distance < mapping.size()).then(|| mapping.host_id().checked_add(distance))?
    });
    mapped.unwrap_or(id)
}

/// Makes a user the owner of three streams.
pub(crate) fn own(stdio: &Stdio3, uid: u32, gid: u32) -> io::Result<()> {
    let own = |fd: BorrowedFd<'_>| fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    for fd in stdio.borrowed() {
        own(fd)?;
    }
    Ok(())
}

/// Runs a container's program, and tells PID 1 exactly why not. Its copy of the worker's socket
/// is closed by the kernel when the program runs.
#[derive(Clone)]
struct Executor {
    control: Rc<Control>,
}

impl Executor {
    fn find(spec: &Spec) -> Result<(PathBuf, Vec<String>), lookup::LookupError> {
        let process = spec.process().as_ref();
        let arguments = process
            .and_then(|process| process.args().clone())
            .unwrap_or_default();
        let environment = process.and_then(|process| process.env().as_deref());
        let name = arguments.first().ok_or(lookup::LookupError::Empty)?;
        let file = lookup::find(name, variable(environment.unwrap_or_default(), "PATH"))?;
        Ok((file, arguments))
    }

    fn tell(&self, error: lookup::LookupError) -> Failure {
        let failure = Failure::from(error);
        // If PID 1 does not listen, there is nobody else to tell.
        let _ = self.control.send(&Reply::Failed(failure.clone()));
        failure
    }
}

/// The value of a variable in a list of `NAME=VALUE`.
pub(crate) fn variable<'a>(environment: &'a [String], name: &str) -> Option<&'a str> {
    environment
        .iter()
        .find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
}

impl workload::Executor for Executor {
    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        match Self::find(spec) {
            Ok(_) => Ok(()),
            Err(error) => Err(ExecutorValidationError::ArgValidationError(
                self.tell(error).message,
            )),
        }
    }

    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let environment: Vec<String> = std::env::vars()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let result = Self::find(spec)
            .and_then(|(file, arguments)| lookup::execute(&file, &arguments, &environment));
        match result {
            Ok(never) => match never {},
            Err(error) => {
                let failure = self.tell(error);
                std::process::exit(failure.exit_code());
            }
        }
    }
}

#[cfg(test)]
#[path = "create_test.rs"]
mod tests;
