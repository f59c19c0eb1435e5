//! The bridge of the built-in network.

use std::path::Path;
use std::{fs, io};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rustix::io::Errno;

use crate::conflist::BRIDGE;
use crate::netlink::{Error, Netlink};

/// Makes the bridge if there is none; the `bridge` plugin takes the one that is there.
///
/// For the plugin would make one that looks for duplicates of its own IPv6 address (RFC 4862)
/// before it answers for it: the machine's first Pod would be without its gateway for two
/// seconds. Nobody else is on a bridge that has just been made.
pub(crate) fn ensure() -> Result<(), Error> {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::IfName(BRIDGE.into()));
    message
        .attributes
        .push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(
            InfoKind::Bridge,
        )]));
    let message = RouteNetlinkMessage::NewLink(message);
    match Netlink::open()?.change(message, NLM_F_CREATE | NLM_F_EXCL) {
        Err(error) if !error.is(Errno::EXIST) => return Err(error),
        _ => {}
    }
    let setting = Path::new("/proc/sys/net/ipv6/conf")
        .join(BRIDGE)
        .join("accept_dad");
    match fs::write(&setting, "0") {
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::Refused),
    }
}
