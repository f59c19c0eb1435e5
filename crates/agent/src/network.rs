//! The guest's network by rtnetlink: loopback, the Pod's interfaces, addresses, routes.
//!
//! The kernel answers each request before `send` returns, so the socket is used synchronously.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use skete_agent_api::agent::{Interface, Route};

use crate::failure::{Failure, Kind};

/// The kernel's bound on names of interfaces (`IFNAMSIZ` with the final zero).
const MAX_NAME: usize = 15;
/// Where the kernel tells of its interfaces.
const NET: &str = "/sys/class/net";

/// What can be wrong with the network that was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NetworkError {
    /// No interface has that hardware address.
    #[error("no network interface has the address {0}")]
    NoInterface(String),
    /// Not a name the kernel takes.
    #[error("`{0}` is no name for a network interface")]
    BadName(String),
    /// Not in CIDR form.
    #[error("`{0}` is no address in CIDR form")]
    BadCidr(String),
    /// A gateway that is none, or of the other family.
    #[error("`{gateway}` is no gateway for {destination}")]
    BadGateway {
        /// What was given.
        gateway: String,
        /// Where the route leads to.
        destination: String,
    },
    /// The kernel would not.
    #[error("cannot {step}")]
    Kernel {
        /// What was asked of it.
        step: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        let kind = match error {
            NetworkError::Kernel { .. } => Kind::Internal,
            NetworkError::NoInterface(_) => Kind::NotFound,
            _ => Kind::InvalidArgument,
        };
        Self::of(kind, &error)
    }
}

/// A socket to the kernel's routing.
pub(crate) struct Network {
    socket: Socket,
}

fn kernel(step: impl Into<String>) -> impl FnOnce(io::Error) -> NetworkError {
    let step = step.into();
    move |source| NetworkError::Kernel { step, source }
}

impl Network {
    /// Opens it.
    pub(crate) fn open() -> Result<Self, NetworkError> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            Ok(socket)
        };
        let socket = open().map_err(kernel("open a netlink socket"))?;
        Ok(Self { socket })
    }

    /// Sets loopback up.
    pub(crate) fn loopback_up(&mut self) -> Result<(), NetworkError> {
        let index = index_of("lo").map_err(kernel("find loopback"))?;
        self.set_link(index, Vec::new(), true)
            .map_err(kernel("set loopback up"))
    }

    /// Names an interface, gives it its addresses and sets it up.
    pub(crate) fn interface(&mut self, wanted: &Interface) -> Result<(), NetworkError> {
        if !is_name(&wanted.name) {
            return Err(NetworkError::BadName(wanted.name.clone()));
        }
        let addresses = wanted
            .addresses
            .iter()
            .map(|text| parse_cidr(text))
            .collect::<Result<Vec<_>, _>>()?;
        let current = find_by_mac(Path::new(NET), &wanted.mac)
            .ok_or_else(|| NetworkError::NoInterface(wanted.mac.clone()))?;
        let index = index_of(&current).map_err(kernel(format!("find {current}")))?;
        let mut attributes = Vec::new();
        if current != wanted.name {
            attributes.push(LinkAttribute::IfName(wanted.name.clone()));
        }
        if wanted.mtu > 0 {
            attributes.push(LinkAttribute::Mtu(wanted.mtu));
        }
        let name = &wanted.name;
        if !attributes.is_empty() {
            self.set_link(index, attributes, false)
                .map_err(kernel(format!("name {current} {name} or set its MTU")))?;
        }
        for (address, prefix) in addresses {
            self.add_address(index, address, prefix)
                .map_err(kernel(format!(
                    "give {name} the address {address}/{prefix}"
                )))?;
        }
        self.set_link(index, Vec::new(), true)
            .map_err(kernel(format!("set {name} up")))
    }

    /// Adds a route, or replaces one to the same destination.
    pub(crate) fn route(&mut self, wanted: &Route) -> Result<(), NetworkError> {
        let (destination, prefix) = parse_cidr(&wanted.destination)?;
        let bad_gateway = || NetworkError::BadGateway {
            gateway: wanted.gateway.clone(),
            destination: wanted.destination.clone(),
        };
        let gateway = match wanted.gateway.as_str() {
            "" => None,
            text => Some(text.parse::<IpAddr>().map_err(|_| bad_gateway())?),
        };
        if gateway.is_some_and(|gateway| gateway.is_ipv4() != destination.is_ipv4()) {
            return Err(bad_gateway());
        }
        let step = format!(
            "add the route to {} by {}",
            wanted.destination, wanted.interface
        );
        if !is_name(&wanted.interface) {
            return Err(NetworkError::BadName(wanted.interface.clone()));
        }
        let index = match index_of(&wanted.interface) {
            Ok(index) => index,
            Err(source) => return Err(NetworkError::Kernel { step, source }),
        };
        let mut message = RouteMessage::default();
        message.header.address_family = family(destination);
        message.header.destination_prefix_length = prefix;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.kind = RouteType::Unicast;
        message.header.scope = match gateway {
            None if destination.is_ipv4() => RouteScope::Link,
            _ => RouteScope::Universe,
        };
        message.attributes.push(RouteAttribute::Oif(index));
        if prefix > 0 {
            message
                .attributes
                .push(RouteAttribute::Destination(destination.into()));
        }
        if let Some(gateway) = gateway {
            // Some networks have gateways that no address of the interface covers.
            message.header.flags |= RouteFlags::Onlink;
            message
                .attributes
                .push(RouteAttribute::Gateway(RouteAddress::from(gateway)));
        }
        self.request(
            RouteNetlinkMessage::NewRoute(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
        .map_err(kernel(step))
    }

    fn set_link(&mut self, index: u32, attributes: Vec<LinkAttribute>, up: bool) -> io::Result<()> {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes = attributes;
        if up {
            message.header.flags = LinkFlags::Up;
            message.header.change_mask = LinkFlags::Up;
        }
        self.request(RouteNetlinkMessage::SetLink(message), 0)
    }

    fn add_address(&mut self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let mut message = AddressMessage::default();
        message.header.family = family(address);
        message.header.prefix_len = prefix;
        message.header.scope = AddressScope::Universe;
        message.header.index = index;
        message.attributes.push(AddressAttribute::Local(address));
        message.attributes.push(AddressAttribute::Address(address));
        match address {
            IpAddr::V4(address) if prefix < 31 => {
                let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                let broadcast = (u32::from(address) | host_bits).into();
                message
                    .attributes
                    .push(AddressAttribute::Broadcast(broadcast));
            }
            IpAddr::V4(_) => {}
            // The host has given it to this Pod alone: waiting for duplicates would only delay
            // the first connection.
            IpAddr::V6(_) => message
                .attributes
                .push(AddressAttribute::Flags(AddressFlags::Nodad)),
        }
        self.request(
            RouteNetlinkMessage::NewAddress(message),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
    }

    fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        let (answer, _) = self.socket.recv_from_full()?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
            .map_err(|error| io::Error::other(error.to_string()))?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            _ => Ok(()),
        }
    }
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn index_of(name: &str) -> io::Result<u32> {
    let text = fs::read_to_string(Path::new(NET).join(name).join("ifindex"))?;
    text.trim_end().parse().map_err(io::Error::other)
}

fn find_by_mac(net: &Path, mac: &str) -> Option<String> {
    if mac.is_empty() {
        return None;
    }
    fs::read_dir(net).ok()?.flatten().find_map(|entry| {
        let found = fs::read_to_string(entry.path().join("address")).ok()?;
        let name = entry.file_name().into_string().ok()?;
        found.trim_end().eq_ignore_ascii_case(mac).then_some(name)
    })
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/:".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain) && !matches!(name, "." | "..")
}

fn parse_cidr(text: &str) -> Result<(IpAddr, u8), NetworkError> {
    let bad = || NetworkError::BadCidr(text.to_owned());
    let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
    let address: IpAddr = address.parse().map_err(|_| bad())?;
    let prefix: u8 = prefix.parse().map_err(|_| bad())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    if prefix > longest {
        return Err(bad());
    }
    Ok((address, prefix))
}

#[cfg(test)]
#[path = "network_test.rs"]
mod tests;
