//! From the network crate's taps to what the monitor and the agent need.

use std::path::Path;

use skete_agent_api::agent;
use skete_hypervisor::Tap;
use skete_network::Traffic;

use crate::error::EngineError;

/// The Pod's interfaces: their taps for the monitor, their addresses for the guest.
#[derive(Default)]
pub struct Attached {
    /// For the monitor.
    pub taps: Vec<Tap>,
    /// For the guest.
    pub interfaces: Vec<agent::Interface>,
    /// For the guest.
    pub routes: Vec<agent::Route>,
    /// For the usage journal.
    pub traffic: Option<Traffic>,
}

/// Puts a tap behind every interface of the namespace. `state` is where the addresses that are
/// taken off the host's side are kept for a second try.
///
/// # Errors
/// If the kernel refuses; the namespace's owner then takes it down.
pub fn attach(netns: &Path, state: &Path) -> Result<Attached, EngineError> {
    let attachment =
        skete_network::attach(netns, state).map_err(|source| EngineError::Network {
            netns: netns.to_owned(),
            source: Box::new(source),
        })?;
    let mut attached = Attached {
        traffic: Some(attachment.traffic),
        ..Attached::default()
    };
    for interface in attachment.interfaces {
        attached.routes.extend(interface.routes.iter().map(|route| {
            agent::Route {
                destination: route.destination.to_string(),
                gateway: route
                    .gateway
                    .map(|gateway| gateway.to_string())
                    .unwrap_or_default(),
                interface: interface.name.clone(),
                ..Default::default()
            }
        }));
        attached.interfaces.push(agent::Interface {
            mac: interface.mac.to_string(),
            name: interface.name,
            mtu: interface.mtu,
            addresses: interface
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect(),
            ..Default::default()
        });
        attached.taps.push(Tap {
            fd: interface.tap,
            mac: interface.mac.0,
        });
    }
    Ok(attached)
}

/// Gives the interfaces their addresses back, as CNI plugins look for them there when they take
/// the network down. A namespace that is gone has nothing to give back to.
pub fn detach(netns: &Path, state: &Path) {
    if let Err(error) = skete_network::detach(netns, state) {
        tracing::warn!(%error, netns = %netns.display(), "detach from the network");
    }
}
