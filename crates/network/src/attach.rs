//! A tap behind each interface of a Pod's network namespace.
//!
//! ```text
//!   peer (bridge, node) ── veth ── eth0 ══ traffic control ══ tap ── VMM ── the guest's eth0
//! ```
//!
//! What comes in by the interface goes out by the tap, untouched, and what the guest sends goes
//! out by the interface if it may (`filter.rs`). The guest's NIC has the interface's MAC
//! address, MTU, addresses and routes; on the host the interface keeps none of its addresses, so
//! that nothing but the guest answers for them.

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::interface::{self, Configuration, Mac, Route};
use crate::netlink::{self, Netlink};
use crate::traffic::Traffic;
use crate::{filter, netns, sys, tc};

/// Taps are called this and the index of the interface that they stand behind.
const TAP: &str = "sktap";

/// What can go wrong in attaching to a network namespace.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace cannot be entered.
    #[error("cannot attach to the Pod's network")]
    Namespace(#[source] netns::Error),
    /// The interfaces cannot be read.
    #[error("cannot read the interfaces of the network namespace {}", .netns.display())]
    Read {
        /// Which namespace.
        netns: PathBuf,
        /// Why not.
        #[source]
        source: netlink::Error,
    },
    /// What passes through the interfaces cannot be counted.
    #[error("cannot read the counters of the network namespace {}", .netns.display())]
    Count {
        /// Which namespace.
        netns: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A tap of an earlier monitor is still held.
    #[error("the tap {tap} of interface {interface} is still held by another process")]
    Held {
        /// The tap's name.
        tap: String,
        /// The interface it stands behind.
        interface: String,
    },
    /// The kernel has no tun driver.
    #[error("this kernel makes no taps: load its module tun (/dev/net/tun is missing)")]
    NoDriver,
    /// The tap cannot be made.
    #[error("cannot make a tap for interface {interface}")]
    Tap {
        /// Of which interface.
        interface: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The kernel did not take a setting.
    #[error("cannot {action} of interface {interface}")]
    Configure {
        /// What was to be done.
        action: &'static str,
        /// On which interface.
        interface: String,
        /// Why not.
        #[source]
        source: netlink::Error,
    },
    /// IPv6 cannot be turned off on the host's side.
    #[error("cannot write {}", .path.display())]
    Setting {
        /// The file in /proc/sys.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A trial's frames did not fare as they should.
    #[error("the filter at a tap {0}")]
    Filter(&'static str),
    /// What the interfaces had cannot be kept or read again.
    #[error("cannot keep what the interfaces had in {}", .path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A Pod's network as the guest is to have it.
#[derive(Debug)]
pub struct Attachment {
    /// In the order of the namespace; none in a namespace with loopback only.
    pub interfaces: Vec<Interface>,
    /// What passes through them, seen from the host.
    pub traffic: Traffic,
}

/// One interface of the guest.
#[derive(Debug)]
pub struct Interface {
    /// Its name in the namespace and in the guest.
    pub name: String,
    /// The address that the guest's NIC must have: frames from another are dropped.
    pub mac: Mac,
    /// Longest packet, in bytes without the Ethernet header.
    pub mtu: u32,
    /// Its addresses, each with the length of its network.
    pub addresses: Vec<IpNet>,
    /// The routes through it, those on the link first, so that they can be added in order.
    pub routes: Vec<Route>,
    /// The tap's name on the host, in the Pod's namespace.
    pub tap_name: String,
    /// The tap: one queue, each frame preceded by a virtio-net header, not blocking. It and all
    /// that stands at it are gone when its last descriptor is closed.
    pub tap: OwnedFd,
}

/// What the interfaces of a namespace had before they were attached to.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    /// The namespace's inode number.
    netns: u64,
    interfaces: Vec<Configuration>,
}

/// Puts a tap behind every interface of the network namespace at `netns`.
///
/// What the interfaces had is kept in the file `state`, because the addresses are taken from
/// them: after a crash, attaching again with the same file finds them there. A step that was done
/// already is no error.
///
/// Blocks for some milliseconds; the calling thread stays in its namespace.
///
/// # Errors
/// One [`Error`] per step. What was done stays; the tap is gone with its descriptor, and the
/// interface then carries nothing.
pub fn attach(netns: &Path, state: &Path) -> Result<Attachment, Error> {
    let (file, id) = open(netns)?;
    netns::inside_of(file.as_fd(), || attach_here(netns, id, state))
        .map_err(|source| entering(netns, source))?
}

/// Gives the interfaces of the network namespace at `netns` their addresses back, so that the
/// CNI plugin that gave them finds them when it deletes what it made for them: `bridge` before
/// 1.2 with `ipMasq` leaves its rules behind else. Routes are not restored. Does nothing if the
/// namespace is gone or nothing was taken from it; removes the file `state`.
///
/// # Errors
/// As [`attach`].
pub fn detach(netns: &Path, state: &Path) -> Result<(), Error> {
    if let Some(saved) = load(state)?
        && let Ok((file, id)) = open(netns)
        && id == saved.netns
    {
        netns::inside_of(file.as_fd(), || give_back(netns, &saved))
            .map_err(|source| entering(netns, source))??;
    }
    match fs::remove_file(state) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::State {
            path: state.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

fn open(netns: &Path) -> Result<(File, u64), Error> {
    let file = File::open(netns).and_then(|file| {
        let id = file.metadata()?.ino();
        Ok((file, id))
    });
    file.map_err(|source| {
        Error::Namespace(netns::Error::System {
            action: "open the network namespace",
            path: netns.to_owned(),
            source,
        })
    })
}

pub(crate) fn entering(netns: &Path, source: io::Error) -> Error {
    Error::Namespace(netns::Error::System {
        action: "enter the network namespace",
        path: netns.to_owned(),
        source,
    })
}

fn attach_here(netns: &Path, id: u64, state: &Path) -> Result<Attachment, Error> {
    let read_failed = |source| Error::Read {
        netns: netns.to_owned(),
        source,
    };
    let mut netlink = Netlink::open().map_err(read_failed)?;
    let mut interfaces = interface::read(&mut netlink, TAP).map_err(read_failed)?;
    let saved = load(state)?.filter(|saved| saved.netns == id);
    for found in &mut interfaces {
        let earlier = saved.iter().flat_map(|saved| &saved.interfaces);
        let same = |i: &&Configuration| i.index == found.index && i.mac == found.mac;
        if let Some(earlier) = earlier.clone().find(same) {
            found.addresses = union(&earlier.addresses, &found.addresses);
            found.routes = union(&earlier.routes, &found.routes);
        }
    }
    let saved = Saved {
        netns: id,
        interfaces,
    };
    store(state, &saved)?;
    let names = saved.interfaces.iter().map(|i| i.name.clone()).collect();
    let traffic = Traffic::open(names).map_err(|source| Error::Count {
        netns: netns.to_owned(),
        source,
    })?;
    let interfaces = saved.interfaces.into_iter();
    let interfaces = interfaces.map(|interface| stand_behind(&mut netlink, interface));
    Ok(Attachment {
        interfaces: interfaces.collect::<Result<_, _>>()?,
        traffic,
    })
}

fn union<T: Clone + PartialEq>(first: &[T], second: &[T]) -> Vec<T> {
    let mut all = first.to_vec();
    all.extend(second.iter().filter(|item| !first.contains(item)).cloned());
    all
}

/// Makes the tap behind one interface and takes the interface's addresses from it.
pub(crate) fn stand_behind(
    netlink: &mut Netlink,
    interface: Configuration,
) -> Result<Interface, Error> {
    let Configuration {
        index,
        name,
        mac,
        mtu,
        addresses,
        routes,
    } = interface;
    let failed = |action| {
        let interface = name.clone();
        move |source| Error::Configure {
            action,
            interface,
            source,
        }
    };

    let tap_name = format!("{TAP}{index}");
    let tap = sys::open_tap(&tap_name).map_err(|source| tap_error(&tap_name, &name, source))?;
    let tap_index = index_of(&tap_name).map_err(|source| Error::Tap {
        interface: name.clone(),
        source,
    })?;

    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for net in &addresses {
        match net.addr() {
            IpAddr::V4(address) => v4.push(address),
            IpAddr::V6(address) => v6.push(address),
        }
    }
    // The filters stand before the tap is up, so that nothing passes unfiltered; the host's
    // stack sees nothing of the interface before its addresses go, so that no answer of the
    // host's ("no such port") reaches a peer.
    disable_ipv6(&tap_name)?;
    let program = filter::from_guest(mac, &v4, &v6);
    tc::redirect_matching(netlink, tap_index, index, program)
        .map_err(failed("filter what comes from the guest"))?;
    set_link(netlink, tap_index, LinkFlags::Up, Some(mtu)).map_err(failed("bring up the tap"))?;
    tc::redirect_all(netlink, index, tap_index).map_err(failed("redirect what comes in"))?;

    // The guest's groups, unknown here, must pass too: IPv6 finds neighbours by multicast.
    set_link(netlink, index, LinkFlags::Allmulti, None).map_err(failed("receive the multicast"))?;
    disable_ipv6(&name)?;
    for net in addresses.iter().filter(|net| net.addr().is_ipv4()) {
        match netlink.change(
            RouteNetlinkMessage::DelAddress(address_message(index, net)),
            0,
        ) {
            Err(error) if error.is(Errno::ADDRNOTAVAIL) => {}
            other => other.map_err(failed("take the addresses"))?,
        }
    }
    Ok(Interface {
        name,
        mac,
        mtu,
        addresses,
        routes,
        tap_name,
        tap,
    })
}

/// Sets flags of a link, and its MTU.
pub(crate) fn set_link(
    netlink: &mut Netlink,
    index: u32,
    flags: LinkFlags,
    mtu: Option<u32>,
) -> Result<(), netlink::Error> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = flags;
    message.header.change_mask = flags;
    message.attributes.extend(mtu.map(LinkAttribute::Mtu));
    netlink.change(RouteNetlinkMessage::SetLink(message), 0)
}

pub(crate) fn tap_error(tap: &str, interface: &str, source: io::Error) -> Error {
    let interface = interface.to_owned();
    match Errno::from_io_error(&source) {
        Some(Errno::BUSY) => Error::Held {
            tap: tap.to_owned(),
            interface,
        },
        Some(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Error::NoDriver,
        _ => Error::Tap { interface, source },
    }
}

/// The index of an interface in the namespace of the calling thread.
pub(crate) fn index_of(interface: &str) -> io::Result<u32> {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    Ok(netdevice::name_to_index(&socket, interface)?)
}

fn give_back(netns: &Path, saved: &Saved) -> Result<(), Error> {
    let read_failed = |source| Error::Read {
        netns: netns.to_owned(),
        source,
    };
    let mut netlink = Netlink::open().map_err(read_failed)?;
    let present = interface::read(&mut netlink, TAP).map_err(read_failed)?;
    for interface in &saved.interfaces {
        if !present
            .iter()
            .any(|i| i.index == interface.index && i.mac == interface.mac)
        {
            continue;
        }
        let failed = |action| {
            let interface = interface.name.clone();
            move |source| Error::Configure {
                action,
                interface,
                source,
            }
        };
        tc::remove(&mut netlink, interface.index).map_err(failed("end the redirection"))?;
        if interface.addresses.iter().any(|net| net.addr().is_ipv6()) {
            set_ipv6(&interface.name, "0")?;
        }
        for net in &interface.addresses {
            let message = RouteNetlinkMessage::NewAddress(address_message(interface.index, net));
            netlink
                .change(message, NLM_F_CREATE | NLM_F_REPLACE)
                .map_err(failed("give back the addresses"))?;
        }
    }
    Ok(())
}

fn address_message(index: u32, net: &IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = net.prefix_len();
    message.header.flags = AddressHeaderFlags::Nodad;
    message.header.family = match net {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    message.attributes.push(AddressAttribute::Local(net.addr()));
    message
        .attributes
        .push(AddressAttribute::Address(net.addr()));
    message
}

/// Takes all IPv6 addresses from an interface and keeps the kernel from making new ones.
fn disable_ipv6(interface: &str) -> Result<(), Error> {
    set_ipv6(interface, "1")
}

fn set_ipv6(interface: &str, disabled: &str) -> Result<(), Error> {
    let path = Path::new("/proc/sys/net/ipv6/conf")
        .join(interface)
        .join("disable_ipv6");
    match fs::write(&path, disabled) {
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::Setting { path, source }),
        Ok(()) => Ok(()),
    }
}

fn load(state: &Path) -> Result<Option<Saved>, Error> {
    let failed = |source| Error::State {
        path: state.to_owned(),
        source,
    };
    match fs::read(state) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| failed(e.into())),
    }
}

/// Whole or not at all: a crash in between leaves the file as it was.
fn store(state: &Path, saved: &Saved) -> Result<(), Error> {
    let failed = |source| Error::State {
        path: state.to_owned(),
        source,
    };
    let bytes = serde_json::to_vec(saved).map_err(|error| failed(error.into()))?;
    let new = state.with_extension("new");
    fs::write(&new, bytes)
        .and_then(|()| fs::rename(&new, state))
        .map_err(failed)
}

#[cfg(test)]
#[path = "attach_test.rs"]
mod tests;
