//! The network of a Pod: network namespaces, taps, traffic control and filters.
//!
//! [`attach`] is for the engine: it is handed a namespace that a CNI plugin has set up, as under
//! Kubernetes, and puts a tap behind each of its interfaces. [`PodNetworks`] is for one machine:
//! it makes that namespace and has the standard CNI plugins set it up; [`dns`] gives the Pod's
//! `resolv.conf` and `hosts`.

#![deny(unsafe_code)]

mod attach;
mod bridge;
mod conflist;
pub mod dns;
mod filter;
mod forward;
mod interface;
#[cfg(test)]
mod machine;
pub mod netlink;
pub mod netns;
mod plugin;
mod pod_network;
mod probe;
mod records;
mod rules;
mod sys;
mod tc;
#[cfg(test)]
mod testing;
mod traffic;

pub use attach::{Attachment, Error as AttachError, Interface, attach, detach};
pub use bridge::Error as BridgeError;
pub use conflist::{BRIDGE, Error as ConfigurationError, PortMapping, Protocol};
pub use forward::{Error as ForwardError, Loopback, original_port};
pub use interface::{Mac, Route};
pub use plugin::Error as PluginError;
pub use pod_network::{
    CniDns, Error as PodNetworkError, Kind, PodNetwork, PodNetworks, Swept, netns_name,
};
pub use probe::probe;
pub use records::Error as RecordsError;
pub use traffic::{Passed, Traffic};
