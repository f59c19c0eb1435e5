//! Whether this kernel can do what attaching to a Pod's network takes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use netlink_packet_route::link::LinkFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::attach::{Error, entering, index_of, set_link, stand_behind, tap_error};
use crate::filter::{METADATA_V4, METADATA_V6};
use crate::interface::{Configuration, Mac};
use crate::netlink::Netlink;
use crate::{netns, sys};

/// What stands in for an interface.
const PROBE: &str = "skprobe";
const NAMESPACE: &str = "/proc/thread-self/ns/net";
const MAC: Mac = Mac([0x02, 0, 0, 0, 0, 1]);
const GUEST_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
/// Frames go from one queue to the other within the write.
const PATIENCE: Duration = Duration::from_secs(2);
/// Of `struct virtio_net_hdr`, as a tap has it before a VMM asks for another.
const HEADER: usize = 10;

/// Whether this kernel can do what [`attach`](crate::attach()) does, found out by doing it in
/// a namespace that is gone afterwards; and whether what a guest sends to the metadata addresses
/// is dropped there, found out by sending it.
///
/// # Errors
/// What it cannot do. A stock kernel does it with the modules tun, sch_ingress, cls_bpf and
/// act_mirred, which it loads by itself.
pub fn probe() -> Result<(), Error> {
    netns::inside_new(probe_here).map_err(|source| entering(Path::new(NAMESPACE), source))?
}

fn probe_here() -> Result<(), Error> {
    let tap_failed = |source| Error::Tap {
        interface: PROBE.into(),
        source,
    };
    let failed = |source| Error::Configure {
        action: "bring up the trial",
        interface: PROBE.into(),
        source,
    };
    // A tap stands in for the interface, another one behind it.
    let outside = sys::open_tap(PROBE).map_err(|source| tap_error(PROBE, PROBE, source))?;
    let index = index_of(PROBE).map_err(tap_failed)?;
    let addresses = [
        IpNet::from(std::net::IpAddr::V4(GUEST_V4)),
        IpNet::from(std::net::IpAddr::V6(GUEST_V6)),
    ];
    let interface = Configuration {
        index,
        name: PROBE.into(),
        mac: MAC,
        mtu: 1500,
        addresses: addresses.to_vec(),
        routes: Vec::new(),
    };
    let mut netlink = Netlink::open().map_err(|source| Error::Read {
        netns: NAMESPACE.into(),
        source,
    })?;
    let guest = stand_behind(&mut netlink, interface)?;
    set_link(&mut netlink, index, LinkFlags::Up, None).map_err(failed)?;

    let (mut guest, mut outside) = (File::from(guest.tap), File::from(outside));
    let forbidden = [to_v4(METADATA_V4), to_v6(METADATA_V6)];
    let allowed = to_v4(Ipv4Addr::new(10, 0, 0, 1));
    for frame in forbidden.iter().chain([&allowed]) {
        let bytes = [&[0; HEADER], &frame[..]].concat();
        guest.write_all(&bytes).map_err(tap_failed)?;
    }
    // They arrive in their order, so that what is to come at all has come before the last.
    loop {
        let frame = receive(&mut outside).map_err(tap_failed)?;
        let frame = frame.ok_or(Error::Filter("drops what a guest may send"))?;
        if forbidden.contains(&frame) {
            return Err(Error::Filter(
                "lets through what a guest sends to a metadata address",
            ));
        }
        if frame == allowed {
            return Ok(());
        }
    }
}

/// The next frame; `None` if none comes.
fn receive(tap: &mut File) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = vec![0; 2048];
    loop {
        match tap.read(&mut buffer) {
            Ok(length) => return Ok(buffer[..length].get(HEADER..).map(<[u8]>::to_vec)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let patience = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
        if poll(&mut [PollFd::new(tap, PollFlags::IN)], Some(&patience))? == 0 {
            return Ok(None);
        }
    }
}

fn ethernet(ethertype: u16, packet: &[u8]) -> Vec<u8> {
    let receiver = [0x02, 0, 0, 0, 0, 2];
    [&receiver, &MAC.0, &ethertype.to_be_bytes()[..], packet].concat()
}

/// A header alone, of UDP: it is the addresses that are looked at.
fn to_v4(destination: Ipv4Addr) -> Vec<u8> {
    let fixed = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0];
    let packet = [&fixed[..], &GUEST_V4.octets(), &destination.octets()].concat();
    ethernet(0x0800, &packet)
}

/// As [`to_v4`].
fn to_v6(destination: Ipv6Addr) -> Vec<u8> {
    let fixed = [0x60, 0, 0, 0, 0, 0, 17, 64];
    let packet = [&fixed[..], &GUEST_V6.octets(), &destination.octets()].concat();
    ethernet(0x86dd, &packet)
}

#[cfg(test)]
#[path = "probe_test.rs"]
mod tests;
