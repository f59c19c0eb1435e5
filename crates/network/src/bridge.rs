//! The bridge of the built-in network.

use std::path::Path;
use std::{fs, io};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};
use rustix::io::Errno;

use crate::conflist::BRIDGE;
use crate::netlink::{self, Netlink};

/// What can go wrong in making the bridge.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel does not make it.
    #[error("the kernel does not make a bridge")]
    Make(#[source] netlink::Error),
    /// A setting in /proc/sys/net/ipv6/conf cannot be made.
    #[error("cannot set what /proc/sys/net/ipv6/conf holds for the bridge")]
    Setting(#[source] io::Error),
}

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
    let make = |mut netlink: Netlink| netlink.change(message, NLM_F_CREATE | NLM_F_EXCL);
    match Netlink::open().and_then(make) {
        Err(error) if !error.is(Errno::EXIST) => return Err(Error::Make(error)),
        _ => {}
    }
    let conf = Path::new("/proc/sys/net/ipv6/conf");
    if !conf.exists() {
        return Ok(());
    }
    let bridge = conf.join(BRIDGE);
    set(&bridge.join("accept_dad"), "0")?;
    // A Pod is no router of the host's.
    set(&bridge.join("accept_ra"), "0")?;
    keep_routers(conf)
}

/// The plugin makes the host forward IPv6, and a host that forwards no longer listens to routers
/// (`accept_ra` 1), so that it would lose its own default route: it is told to listen all the
/// same (2) where it does now.
fn keep_routers(conf: &Path) -> Result<(), Error> {
    let is = |path: &Path, value| fs::read_to_string(path).is_ok_and(|now| now.trim() == value);
    if !is(&conf.join("all/forwarding"), "0") {
        return Ok(());
    }
    for entry in fs::read_dir(conf).map_err(Error::Setting)? {
        let interface = entry.map_err(Error::Setting)?;
        let accept = interface.path().join("accept_ra");
        let each = interface.file_name() != "all" && interface.file_name() != "default";
        if each && is(&accept, "1") {
            set(&accept, "2")?;
            tracing::info!(
                setting = %accept.display(),
                "set to 2: the host goes on listening to IPv6 routers although it forwards now"
            );
        }
    }
    Ok(())
}

fn set(setting: &Path, value: &str) -> Result<(), Error> {
    match fs::write(setting, value) {
        // An interface that has gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(Error::Setting),
    }
}

#[cfg(test)]
#[path = "bridge_test.rs"]
mod tests;
