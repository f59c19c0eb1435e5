//! The two system calls for which no safe wrapper exists.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;

use rustix::ioctl::{self, Setter};
use rustix::thread::UnshareFlags;

/// Longest interface name, without the terminating NUL (`IFNAMSIZ` - 1).
pub(crate) const NAME_MAX: usize = 15;

const TUNSETIFF: ioctl::Opcode = ioctl::opcode::write::<i32>(b'T', 202);
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;

/// `struct ifreq` as `TUNSETIFF` reads it: a name, flags, and the rest of the union.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; NAME_MAX + 1],
    flags: u16,
    rest: [u8; 22],
}

/// Makes a tap in the network namespace of the calling thread: one queue, frames preceded by a
/// virtio-net header, gone when the last descriptor is closed.
///
/// # Errors
/// `EBUSY`: somebody holds a tap of that name. `ENOENT`, `ENODEV`: the kernel has no tun driver.
pub(crate) fn open_tap(name: &str) -> io::Result<OwnedFd> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut request = InterfaceRequest {
        name: [0; NAME_MAX + 1],
        flags: IFF_TAP | IFF_NO_PI | IFF_VNET_HDR,
        rest: [0; 22],
    };
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    let tap: File = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open("/dev/net/tun")?;
    // SAFETY: TUNSETIFF takes a pointer to a `struct ifreq`, whose size and layout
    // `InterfaceRequest` has; the kernel keeps no reference to it.
    unsafe { ioctl::ioctl(&tap, Setter::<TUNSETIFF, InterfaceRequest>::new(request))? };
    Ok(tap.into())
}

/// Gives the calling thread a new, empty network namespace.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: only CLONE_NEWNET is given, which leaves the table of file descriptors shared as
    // it was; that table is what makes other flags unsound.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET)? };
    Ok(())
}

const _: () = assert!(size_of::<InterfaceRequest>() == 40);
