//! A CNI network configuration list (CNI specification 1.0.0, section 1): a user's, or ours.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkMessage};
use netlink_packet_route::route::RouteMessage;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::interface;
use crate::netlink::{self, Netlink};

/// The bridge of the built-in network.
pub const BRIDGE: &str = "skete0";

/// The name of the built-in network.
pub(crate) const NETWORK: &str = "skete";

/// The addresses of the built-in network: a /16 that neither Docker (172.16/12), Podman (10.88),
/// nor the usual Kubernetes distributions (10.42, 10.43, 10.96/12, 10.244) take, and a unique
/// local prefix (RFC 4193) whose global ID spells "Skete".
pub(crate) const SUBNET_V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 83, 0, 0), 16);
/// As [`SUBNET_V4`], for IPv6.
pub(crate) const SUBNET_V6: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd53, 0x6b65, 0x7465, 0, 0, 0, 0, 0), 64);

/// What can go wrong with a network's configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read the CNI configuration {}", .path.display())]
    Read {
        /// Which file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is no configuration list.
    #[error("{} is no CNI configuration list (.conflist)", .path.display())]
    Parse {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A list without plugins.
    #[error("the CNI configuration {} names no plugins", .path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The machine's routes cannot be read, from which the MTU is taken.
    #[error("cannot read this machine's routes")]
    Routes(#[source] netlink::Error),
}

/// A port of the host that leads to a Pod (`-p`, `hostPort`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// On the host.
    pub host_port: u16,
    /// In the Pod.
    pub container_port: u16,
    /// Of the transport layer.
    pub protocol: Protocol,
    /// Only at this address of the host; at all if none.
    #[serde(rename = "hostIP", skip_serializing_if = "Option::is_none", default)]
    pub host_ip: Option<IpAddr>,
}

/// A transport protocol whose ports can be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// RFC 9260.
    Sctp,
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A configuration list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfList {
    cni_version: String,
    name: String,
    plugins: Vec<Map<String, Value>>,
}

impl ConfList {
    /// The user's: of the files `*.conflist` in `directory` the first by name.
    pub(crate) fn load(directory: &Path) -> Result<Option<Self>, Error> {
        let read_failed = |path: &Path| {
            let path = path.to_owned();
            |source| Error::Read { path, source }
        };
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(read_failed(directory))?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(read_failed(directory))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "conflist")
            {
                files.push(path);
            }
        }
        let Some(path) = files.into_iter().min() else {
            return Ok(None);
        };
        let bytes = fs::read(&path).map_err(read_failed(&path))?;
        let list: Self = serde_json::from_slice(&bytes).map_err(|source| Error::Parse {
            path: path.clone(),
            source,
        })?;
        if list.plugins.is_empty() {
            return Err(Error::Empty { path });
        }
        Ok(Some(list))
    }

    /// Ours: a bridge with addresses of both families, published ports, and a way through the
    /// host's firewall. Masquerading and the metadata addresses are `rules.rs`' part.
    ///
    /// `leases` is where host-local keeps which address is whose; `ports` and `firewall` say
    /// whether the plugins for these are needed: each call of them starts dozens of processes.
    pub(crate) fn built_in(leases: &Path, ports: bool, firewall: bool) -> Result<Self, Error> {
        let mut ranges = vec![json!([{ "subnet": SUBNET_V4 }])];
        let mut routes = vec![json!({ "dst": "0.0.0.0/0" })];
        if Path::new("/proc/sys/net/ipv6").exists() {
            ranges.push(json!([{ "subnet": SUBNET_V6 }]));
            routes.push(json!({ "dst": "::/0" }));
        }
        let bridge = json!({
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": true,
            "hairpinMode": true,
            "mtu": mtu().map_err(Error::Routes)?,
            "ipam": {
                "type": "host-local",
                "dataDir": leases,
                "ranges": ranges,
                "routes": routes,
            },
        });
        let mut plugins = vec![bridge];
        if ports {
            plugins.push(json!({ "type": "portmap", "capabilities": { "portMappings": true } }));
        }
        if firewall {
            plugins.push(json!({ "type": "firewall" }));
        }
        let objects = plugins.into_iter().filter_map(|plugin| match plugin {
            Value::Object(object) => Some(object),
            _ => None,
        });
        Ok(Self {
            cni_version: "1.0.0".into(),
            name: NETWORK.into(),
            plugins: objects.collect(),
        })
    }

    /// The plugins in order of ADD, each with what it gets on its standard input: its part of the
    /// list, and of `ports` what it is able to do.
    pub(crate) fn plugins(&self, ports: &[PortMapping]) -> Vec<(String, Map<String, Value>)> {
        let with_rest = |plugin: &Map<String, Value>| {
            let mut plugin = plugin.clone();
            let kind = plugin
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            plugin.insert("name".into(), json!(self.name));
            plugin.insert("cniVersion".into(), json!(self.cni_version));
            let capabilities = plugin.remove("capabilities").unwrap_or_default();
            if capabilities.get("portMappings") == Some(&Value::Bool(true)) && !ports.is_empty() {
                plugin.insert("runtimeConfig".into(), json!({ "portMappings": ports }));
            }
            (kind, plugin)
        };
        self.plugins.iter().map(with_rest).collect()
    }

    /// Whether any plugin makes masquerading rules for each Pod.
    pub(crate) fn masquerades(&self) -> bool {
        self.plugins
            .iter()
            .any(|plugin| plugin.get("ipMasq") == Some(&Value::Bool(true)))
    }

    /// Whether any plugin publishes ports.
    pub(crate) fn publishes(&self) -> bool {
        let publishes = |plugin: &Map<String, Value>| {
            plugin
                .get("capabilities")
                .and_then(|c| c.get("portMappings"))
                == Some(&Value::Bool(true))
        };
        self.plugins.iter().any(publishes)
    }
}

/// Longest packet on the interface of the default route, in bytes; Ethernet's without one.
fn mtu() -> Result<u32, netlink::Error> {
    let mut netlink = Netlink::open()?;
    let mut best: Option<(u32, u32)> = None;
    for answer in netlink.dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))? {
        let RouteNetlinkMessage::NewRoute(message) = answer else {
            continue;
        };
        let Some((index, route)) = interface::route(&message) else {
            continue;
        };
        let metric = route.metric.unwrap_or(0);
        let better = best.is_none_or(|(least, _)| metric < least);
        if matches!(route.destination, IpNet::V4(net) if net.prefix_len() == 0) && better {
            best = Some((metric, index));
        }
    }
    let Some((_, index)) = best else {
        return Ok(1500);
    };
    for answer in netlink.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        if let RouteNetlinkMessage::NewLink(link) = answer
            && link.header.index == index
        {
            let mtu = link
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    LinkAttribute::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            return Ok(mtu.unwrap_or(1500));
        }
    }
    Ok(1500)
}

#[cfg(test)]
#[path = "conflist_test.rs"]
mod tests;
