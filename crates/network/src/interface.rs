//! The interfaces of a Pod's network namespace: what they are called, and what was configured.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    LinkAttribute, LinkExtentMask, LinkFlags, LinkLayerType, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteProtocol,
    RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use serde::{Deserialize, Serialize};

use crate::netlink::{Error, Netlink};

/// A 48-bit Ethernet address. Shown as six lower-case octets with colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mac(
    /// The octets as they go over the wire.
    pub [u8; 6],
);

impl Mac {
    /// The IPv6 link-local address that belongs to it by modified EUI-64 (RFC 4291, appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0.map(u16::from);
        let first = (a << 8 | b) ^ 0x0200;
        Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            first,
            c << 8 | 0xff,
            0xfe00 | d,
            e << 8 | f,
        )
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(to, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

/// A route through one interface, of the main table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Route {
    /// Where to; of length 0 for the default route.
    pub destination: IpNet,
    /// Through which neighbour; none if the destination is on the link.
    pub gateway: Option<IpAddr>,
    /// The gateway is on the link whatever the addresses say (`onlink`).
    pub onlink: bool,
    /// The source address to prefer.
    pub source: Option<IpAddr>,
    /// The lower, the better; none for the kernel's default.
    pub metric: Option<u32>,
    /// Packets this way are at most so long, in bytes.
    pub mtu: Option<u32>,
}

/// What the CNI plugin configured on one interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mac: Mac,
    pub(crate) mtu: u32,
    pub(crate) addresses: Vec<IpNet>,
    pub(crate) routes: Vec<Route>,
}

/// The Ethernet interfaces that are up in the namespace of `netlink`, without those called
/// `skip…`: those that the kernel puts in every namespace when a tunnel's module is loaded
/// (`tunl0`, `gretap0`, …) are down, and parts of a bridge or bond do not speak for themselves.
pub(crate) fn read(netlink: &mut Netlink, skip: &str) -> Result<Vec<Configuration>, Error> {
    let mut message = LinkMessage::default();
    message
        .attributes
        .push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    let mut interfaces: Vec<Configuration> = netlink
        .dump(RouteNetlinkMessage::GetLink(message))?
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(link) => ethernet(link),
            _ => None,
        })
        .filter(|interface| !interface.name.starts_with(skip))
        .collect();
    if interfaces.is_empty() {
        return Ok(interfaces);
    }
    for answer in netlink.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        let RouteNetlinkMessage::NewAddress(message) = answer else {
            continue;
        };
        let index = message.header.index;
        let Some(interface) = interfaces.iter_mut().find(|i| i.index == index) else {
            continue;
        };
        if let Some(net) = address(&message)
            && net.addr() != IpAddr::V6(interface.mac.link_local())
        {
            interface.addresses.push(net);
        }
    }
    for answer in netlink.dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))? {
        let RouteNetlinkMessage::NewRoute(message) = answer else {
            continue;
        };
        if let Some((index, route)) = route(&message)
            && let Some(interface) = interfaces.iter_mut().find(|i| i.index == index)
        {
            interface.routes.push(route);
        }
    }
    for interface in &mut interfaces {
        // A gateway must be reachable when its route is added: what is on the link comes first.
        interface
            .routes
            .sort_by_key(|route| route.gateway.is_some());
    }
    Ok(interfaces)
}

fn ethernet(link: LinkMessage) -> Option<Configuration> {
    let header = &link.header;
    if header.link_layer_type != LinkLayerType::Ether || !header.flags.contains(LinkFlags::Up) {
        return None;
    }
    let (mut name, mut mac, mut mtu) = (None, None, None);
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value),
            LinkAttribute::Address(value) => mac = value.try_into().ok().map(Mac),
            LinkAttribute::Mtu(value) => mtu = Some(value),
            LinkAttribute::Controller(_) => return None,
            _ => {}
        }
    }
    Some(Configuration {
        index: header.index,
        name: name?,
        mac: mac?,
        mtu: mtu?,
        addresses: Vec::new(),
        routes: Vec::new(),
    })
}

/// The interface's own address and its network's length.
fn address(message: &AddressMessage) -> Option<IpNet> {
    let (mut local, mut address) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(value) => local = Some(*value),
            AddressAttribute::Address(value) => address = Some(*value),
            _ => {}
        }
    }
    // IPv6 gives only ADDRESS; IPv4 gives both, and on a point-to-point link that is the peer's.
    IpNet::new(local.or(address)?, message.header.prefix_len).ok()
}

/// A route that somebody configured, of the main table, with its interface's index.
pub(crate) fn route(message: &RouteMessage) -> Option<(u32, Route)> {
    let header = &message.header;
    let mut index = None;
    let mut table = u32::from(header.table);
    let mut route = Route {
        destination: match header.address_family {
            AddressFamily::Inet => IpNet::new(Ipv4Addr::UNSPECIFIED.into(), 0).ok()?,
            AddressFamily::Inet6 => IpNet::new(Ipv6Addr::UNSPECIFIED.into(), 0).ok()?,
            _ => return None,
        },
        gateway: None,
        onlink: header
            .flags
            .contains(netlink_packet_route::route::RouteFlags::Onlink),
        source: None,
        metric: None,
        mtu: None,
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(value) => table = *value,
            RouteAttribute::Oif(value) => index = Some(*value),
            RouteAttribute::Destination(value) => {
                let length = header.destination_prefix_length;
                route.destination = IpNet::new(ip(value)?, length).ok()?;
            }
            RouteAttribute::Gateway(value) => route.gateway = ip(value),
            RouteAttribute::PrefSource(value) => route.source = ip(value),
            RouteAttribute::Priority(value) => route.metric = Some(*value),
            RouteAttribute::Metrics(metrics) => {
                route.mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(value) => Some(*value),
                    _ => None,
                });
            }
            RouteAttribute::Via(netlink_packet_route::route::RouteVia::Inet6(value)) => {
                route.gateway = Some((*value).into());
            }
            RouteAttribute::MultiPath(hops) => {
                let hop = hops.first()?;
                index = Some(hop.interface_index);
                route.gateway = hop.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Gateway(value) => ip(value),
                    _ => None,
                });
                tracing::warn!(
                    destination = %route.destination,
                    "of a route with several next hops the guest gets the first only"
                );
            }
            _ => {}
        }
    }
    // The kernel of the guest makes those of its own addresses itself, and hears the router.
    let configured = header.kind == RouteType::Unicast
        && !matches!(header.protocol, RouteProtocol::Kernel | RouteProtocol::Ra)
        && table == u32::from(RouteHeader::RT_TABLE_MAIN)
        && matches!(
            header.scope,
            RouteScope::Universe | RouteScope::Link | RouteScope::Site
        );
    configured.then_some((index?, route))
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some((*address).into()),
        RouteAddress::Inet6(address) => Some((*address).into()),
        _ => None,
    }
}
