//! What PID 1 does once, before it serves: the file systems and cgroups that containers need.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkdirat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind, mount_change, mount_move, mount_remount,
};

/// Where everything that containers' state consists of is kept.
pub(crate) const RUN: &str = "/run/skete";
/// Root of the cgroup hierarchy.
pub(crate) const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// Parent of the containers' cgroups.
pub(crate) const CGROUP_PARENT: &str = "/sys/fs/cgroup/skete";

/// What can go wrong while the guest is set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    /// A mount that nothing works without.
    #[error("cannot mount {target}")]
    Mount {
        /// Where it was to appear.
        target: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A directory, or a file of the kernel's.
    #[error("cannot set up {path}")]
    Path {
        /// Which.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

struct Mount {
    fs_type: &'static str,
    target: &'static str,
    flags: MountFlags,
    data: Option<&'static std::ffi::CStr>,
    needed: bool,
}

const PLAIN: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// In the order in which they are mounted. No NOEXEC on `/run`: containers' roots live there.
const MOUNTS: [Mount; 9] = [
    Mount {
        fs_type: "proc",
        target: "/proc",
        flags: PLAIN,
        data: None,
        needed: true,
    },
    Mount {
        fs_type: "sysfs",
        target: "/sys",
        flags: PLAIN,
        data: None,
        needed: true,
    },
    Mount {
        fs_type: "devtmpfs",
        target: "/dev",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: Some(c"mode=0755"),
        needed: true,
    },
    Mount {
        fs_type: "devpts",
        target: "/dev/pts",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: Some(c"mode=0620,gid=5,ptmxmode=0666"),
        needed: true,
    },
    Mount {
        fs_type: "tmpfs",
        target: "/dev/shm",
        flags: PLAIN,
        data: Some(c"mode=1777"),
        needed: true,
    },
    Mount {
        fs_type: "mqueue",
        target: "/dev/mqueue",
        flags: PLAIN,
        data: None,
        needed: false,
    },
    Mount {
        fs_type: "tmpfs",
        target: "/run",
        flags: MountFlags::NODEV,
        data: Some(c"mode=0755"),
        needed: true,
    },
    Mount {
        fs_type: "tmpfs",
        target: "/tmp",
        flags: PLAIN,
        data: Some(c"mode=1777"),
        needed: true,
    },
    Mount {
        fs_type: "cgroup2",
        target: CGROUP_ROOT,
        flags: PLAIN,
        data: Some(c"nsdelegate,memory_recursiveprot"),
        needed: true,
    },
];

/// Mounts everything, enables all cgroup controllers and protects this process from the
/// out-of-memory killer.
pub(crate) fn set_up() -> Result<(), BootError> {
    leave_rootfs().map_err(|source| BootError::Mount {
        target: "/",
        source,
    })?;
    for mount in &MOUNTS {
        if let Err(source) = mount_one(mount) {
            if mount.needed {
                let target = mount.target;
                return Err(BootError::Mount { target, source });
            }
            eprintln!(
                "skete-agent: warning: cannot mount {}: {source}",
                mount.target
            );
        }
    }
    // Every mount point exists by now. The image of this program must not be writable through
    // /proc/PID/exe of a worker that has entered a container, whatever that container's root may do.
    let read_only = MountFlags::BIND | MountFlags::RDONLY;
    mount_remount("/", read_only, c"")
        .map_err(io::Error::from)
        .map_err(|source| BootError::Mount {
            target: "/",
            source,
        })?;
    for directory in ["volumes", "containers", "runtime", "scratch", "etc"] {
        make_directory(&format!("{RUN}/{directory}"))?;
    }
    for file in ["resolv.conf", "hosts"] {
        write(&format!("{RUN}/etc/{file}"), "")?;
    }
    enable_controllers(CGROUP_ROOT)?;
    make_directory(CGROUP_PARENT)?;
    enable_controllers(CGROUP_PARENT)?;
    // The agent is what the engine speaks to: a container that eats all memory must not end it.
    write("/proc/self/oom_score_adj", "-1000")
}

/// The initial file system cannot be the old root of `pivot_root(2)`, which containers need. A
/// bind mount of it, moved over `/`, can be, and costs no copy.
fn leave_rootfs() -> io::Result<()> {
    for directory in ["/proc", "/sys", "/dev", "/run", "/tmp"] {
        match mkdirat(CWD, directory, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    mount_bind("/", "/run")?;
    std::env::set_current_dir("/run")?;
    mount_move(".", "/")?;
    std::os::unix::fs::chroot(".")?;
    std::env::set_current_dir("/")?;
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    Ok(())
}

fn mount_one(entry: &Mount) -> io::Result<()> {
    fs::create_dir_all(entry.target)?;
    mount(
        entry.fs_type,
        entry.target,
        entry.fs_type,
        entry.flags,
        entry.data,
    )?;
    Ok(())
}

/// Hands every controller there is to a cgroup's children.
fn enable_controllers(cgroup: &str) -> Result<(), BootError> {
    let path = Path::new(cgroup).join("cgroup.controllers");
    let controllers = fs::read_to_string(&path).map_err(|source| BootError::Path {
        path: path.display().to_string(),
        source,
    })?;
    let enable: Vec<String> = controllers
        .split_ascii_whitespace()
        .map(|name| format!("+{name}"))
        .collect();
    write(
        &format!("{cgroup}/cgroup.subtree_control"),
        &enable.join(" "),
    )
}

fn make_directory(path: &str) -> Result<(), BootError> {
    fs::create_dir_all(path).map_err(|source| BootError::Path {
        path: path.to_owned(),
        source,
    })
}

fn write(path: &str, text: &str) -> Result<(), BootError> {
    fs::write(path, text).map_err(|source| BootError::Path {
        path: path.to_owned(),
        source,
    })
}
