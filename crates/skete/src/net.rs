//! The Pods' networks on this machine.

use std::net::IpAddr;
use std::path::PathBuf;

use skete_network::{Kind, PodNetwork, PodNetworkError, PodNetworks, PortMapping, Protocol};

use crate::paths::Paths;
use crate::record::{PodId, PublishedPort};

/// Where a user may put a CNI configuration of their own.
const CONFIGURATION: &str = "/etc/skete/net.d";

/// What can go wrong with a Pod's network.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The network could not be made or unmade.
    #[error(transparent)]
    Network(#[from] PodNetworkError),
    /// The thread that worked on it did not come back.
    #[error("the work on the Pod's network was broken off")]
    BrokenOff,
    /// A protocol that is none.
    #[error("{0:?} is not a protocol whose ports can be published")]
    Protocol(String),
    /// An address that is none.
    #[error("{0:?} is not an IP address of this machine")]
    Address(String),
}

/// The networks of the Pods under these roots.
pub fn networks(paths: &Paths) -> PodNetworks {
    let plugins = PodNetworks::PLUGIN_DIRECTORIES;
    PodNetworks::new(
        CONFIGURATION.into(),
        plugins.iter().map(PathBuf::from).collect(),
        paths.run_root.join("network"),
    )
}

/// Makes a Pod's network.
///
/// # Errors
/// It could not be made; nothing is left of it then.
pub async fn create(
    paths: &Paths,
    id: &PodId,
    loopback: bool,
    ports: &[PublishedPort],
) -> Result<PodNetwork, NetError> {
    let kind = if loopback {
        Kind::Loopback
    } else {
        Kind::Cni(ports.iter().map(mapping).collect::<Result<_, _>>()?)
    };
    let (networks, id) = (networks(paths), id.to_string());
    let made = tokio::task::spawn_blocking(move || networks.create(&id, &kind)).await;
    Ok(made.map_err(|_| NetError::BrokenOff)??)
}

/// Takes away a Pod's network, or what is left of it.
///
/// # Errors
/// Something could not be taken away.
pub async fn remove(paths: &Paths, id: &PodId) -> Result<(), NetError> {
    let (networks, id) = (networks(paths), id.to_string());
    let removed = tokio::task::spawn_blocking(move || networks.remove(&id)).await;
    Ok(removed.map_err(|_| NetError::BrokenOff)??)
}

/// Pods that have a network, or something left of one.
pub fn all(paths: &Paths) -> Vec<PodId> {
    // What cannot be read now is read by the next command.
    let ids = networks(paths).list().unwrap_or_default();
    ids.into_iter()
        .filter_map(|id| PodId::try_from(id).ok())
        .collect()
}

fn mapping(port: &PublishedPort) -> Result<PortMapping, NetError> {
    let protocol = match port.protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(NetError::Protocol(port.protocol.clone())),
    };
    let host_ip: Option<IpAddr> = match port.host_ip.as_str() {
        "" => None,
        text => {
            let address = text.parse();
            Some(address.map_err(|_| NetError::Address(text.to_owned()))?)
        }
    };
    Ok(PortMapping {
        host_port: port.host_port,
        container_port: port.container_port,
        protocol,
        host_ip,
    })
}
