//! The few system calls that no safe wrapper offers.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use tokio::io::unix::AsyncFd;

use crate::devices::Instruction;

/// `BLKPG` of `linux/blkpg.h`.
const BLKPG: libc::Ioctl = 0x1269;
const BLKPG_ADD_PARTITION: libc::c_int = 1;
/// `RNDADDENTROPY` and `RNDRESEEDCRNG` of `linux/random.h`.
const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
/// No more entropy is credited at once, in bytes.
const MAX_ENTROPY: usize = 512;

#[repr(C)]
struct BlkpgPartition {
    start: libc::c_longlong,
    length: libc::c_longlong,
    pno: libc::c_int,
    devname: [u8; 64],
    volname: [u8; 64],
}

#[repr(C)]
struct BlkpgIoctlArg {
    op: libc::c_int,
    flags: libc::c_int,
    datalen: libc::c_int,
    data: *mut c_void,
}

/// Makes a partition of a range of a disk, in bytes; it exists only in the kernel's memory.
pub(crate) fn add_partition(
    disk: BorrowedFd<'_>,
    number: i32,
    start: i64,
    length: i64,
) -> io::Result<()> {
    let mut partition = BlkpgPartition {
        start,
        length,
        pno: number,
        devname: [0; 64],
        volname: [0; 64],
    };
    let mut argument = BlkpgIoctlArg {
        op: BLKPG_ADD_PARTITION,
        flags: 0,
        datalen: i32::try_from(size_of::<BlkpgPartition>()).map_err(io::Error::other)?,
        data: (&raw mut partition).cast(),
    };
    // SAFETY: `argument` and the `partition` it points to are laid out as linux/blkpg.h has them
    // and outlive the call, which keeps neither.
    let result = unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG, &raw mut argument) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[repr(C)]
struct RandPoolInfo {
    entropy_count: libc::c_int,
    buf_size: libc::c_int,
    buf: [u8; MAX_ENTROPY],
}

/// Credits bytes to the kernel's entropy pool, eight bits each, and has the generator reseeded
/// at once. `random` is an open `/dev/urandom`. Bytes past the first 512 are not used.
pub(crate) fn credit_entropy(random: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    let bytes = &bytes[..bytes.len().min(MAX_ENTROPY)];
    let length = i32::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut info = RandPoolInfo {
        entropy_count: length * 8,
        buf_size: length,
        buf: [0; MAX_ENTROPY],
    };
    info.buf[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: `info` is laid out as `struct rand_pool_info` with `buf_size` valid bytes after its
    // head; the kernel only reads it.
    if unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, &raw const info) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the request takes no argument.
    if unsafe { libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Takes over a descriptor that this process was started with.
///
/// # Errors
/// If the number names no open descriptor, or one of the three standard ones.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    // SAFETY: only asks for flags; an invalid number is answered with EBADF.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open (just checked), and a worker takes each number of its request once,
    // before it opens anything by itself, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Which side of a fork this is.
pub(crate) enum Fork {
    /// The one that called, with the child's id.
    Parent(i32),
    /// The new one.
    Child,
}

/// Makes a copy of this process, which has to be a worker.
pub(crate) fn fork() -> io::Result<Fork> {
    // SAFETY: workers have one thread, so the child may do what its parent could: no lock can be
    // held by a thread that the fork did not copy.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// Has `prepare` run in the child between fork and exec.
pub(crate) fn before_exec(
    command: &mut Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    // SAFETY: only worker processes call this, which have one thread, so the child may do what
    // its parent could: no lock can be held by a thread that the fork did not copy.
    unsafe { command.pre_exec(prepare) };
}

/// Gives SIGPIPE its default action again, which the Rust runtime took away: what this process
/// starts inherits it.
pub(crate) fn default_sigpipe() {
    // SAFETY: SIG_DFL installs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Has the runtime watch a descriptor.
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the `OwnedFd` is open as long as it lives, always has the same number, and the
    // `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register(fd) }?)
}

// Of `linux/bpf.h`.
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The head of `union bpf_attr` for [`BPF_PROG_LOAD`]; what follows may be left out.
#[repr(C)]
struct BpfLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// The same for [`BPF_PROG_ATTACH`].
#[repr(C)]
struct BpfAttach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// Calls `bpf(2)`.
///
/// # Safety
/// `attribute` is what the command takes, and what it points to is valid.
unsafe fn bpf<T>(command: libc::c_int, attribute: &T) -> io::Result<libc::c_int> {
    // SAFETY: the caller answers for the content; its size is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attribute),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(result).map_err(io::Error::other)
}

/// Loads a program that decides on the use of devices.
pub(crate) fn load_device_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    let load = BpfLoad {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(io::Error::other)?,
        insns: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    // SAFETY: the instructions, `insn_cnt` of them in the kernel's layout, and the licence
    // outlive the call, which copies them.
    let fd = unsafe { bpf(BPF_PROG_LOAD, &load) }?;
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches it to a cgroup, given by its directory, beside those that are there.
pub(crate) fn attach_device_program(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
) -> io::Result<()> {
    let fd = |fd: BorrowedFd<'_>| u32::try_from(fd.as_raw_fd()).map_err(io::Error::other);
    let attach = BpfAttach {
        target_fd: fd(cgroup)?,
        attach_bpf_fd: fd(program)?,
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: there are no pointers in it.
    unsafe { bpf(BPF_PROG_ATTACH, &attach) }.map(drop)
}

/// `MOUNT_ATTR_IDMAP` of `linux/mount.h`.
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;

/// `struct mount_attr` of `linux/mount.h`.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Maps the owners of the files of a mount, not attached yet, by a user namespace.
pub(crate) fn map_owners(mount: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = MountAttr {
        attr_set: MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?,
    };
    // SAFETY: the path is the empty string, the attributes are laid out as the kernel has them
    // and of the size told; it keeps neither.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
