//! A machine for the tests of Pods' networks.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::pod_network::Error;
use crate::testing::Namespace;
use crate::{Kind, PodNetwork, PodNetworks, PortMapping, Protocol, netns, netns_name};

/// A machine of its own: a network namespace for the host, and directories.
pub(crate) struct Machine {
    pub(crate) host: Namespace,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) networks: PodNetworks,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let networks = PodNetworks::new(
            directory.path().join("config"),
            vec!["/usr/lib/cni".into()],
            directory.path().join("state"),
        );
        Self {
            host: Namespace::new(),
            directory,
            networks,
        }
    }

    /// A machine whose firewall forwards nothing, as Docker sets it up.
    pub(crate) fn walled() -> Self {
        let machine = Self::new();
        machine.host.run("iptables -P FORWARD DROP");
        machine.host.run("ip6tables -P FORWARD DROP");
        machine
    }

    /// The tests of this machine share the names of namespaces: no two may use the same.
    pub(crate) fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.host.name)
    }

    pub(crate) fn create(&self, name: &str, kind: &Kind) -> Result<Pod, Error> {
        let id = self.id(name);
        let made = netns::inside(&self.host.path, || self.networks.create(&id, kind)).unwrap()?;
        let name = netns_name(&id);
        let path = made.netns.clone();
        Ok(Pod {
            network: made,
            namespace: Namespace { name, path },
        })
    }

    pub(crate) fn remove(&self, name: &str) -> Result<(), Error> {
        let id = self.id(name);
        netns::inside(&self.host.path, || self.networks.remove(&id)).unwrap()
    }

    pub(crate) fn rules(&self) -> String {
        let mut rules = String::new();
        for program in ["iptables-save", "ip6tables-save"] {
            rules.extend(
                self.host
                    .run(program)
                    .lines()
                    .filter(|line| !line.starts_with('#'))
                    .map(|line| format!("{line}\n")),
            );
        }
        rules
    }

    /// That nothing in the kernel or on disk speaks of `id` or `addresses` any more.
    pub(crate) fn assert_nothing_left(&self, name: &str, addresses: &[IpNet]) {
        let id = &self.id(name);
        assert_eq!(self.networks.list().unwrap(), Vec::<String>::new());
        assert!(!Path::new(netns::DIRECTORY).join(netns_name(id)).exists());
        let state = self.directory.path().join("state");
        assert_eq!(names(&state.join("pods")), Vec::<String>::new());
        let rules = self.rules();
        assert!(!rules.contains(id), "{rules}");
        for net in addresses {
            assert!(!rules.contains(&net.addr().to_string()), "{rules}");
        }
        let leases = names(&state.join("leases/skete"));
        assert!(
            !leases.iter().any(|name| name.parse::<IpAddr>().is_ok()),
            "{leases:?}"
        );
        // The kernel takes a vanished namespace apart in its own time.
        let end = Instant::now() + Duration::from_secs(3);
        loop {
            let links = self.host.try_run("ip -oneline link show master skete0").1;
            if links.is_empty() || links.contains("does not exist") {
                break;
            }
            assert!(Instant::now() < end, "{links}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(crate) struct Pod {
    pub(crate) network: PodNetwork,
    pub(crate) namespace: Namespace,
}

impl Pod {
    pub(crate) fn v4(&self) -> IpAddr {
        self.network
            .addresses
            .iter()
            .find(|net| net.addr().is_ipv4())
            .unwrap()
            .addr()
    }

    pub(crate) fn v6(&self) -> IpAddr {
        self.network
            .addresses
            .iter()
            .find(|net| net.addr().is_ipv6())
            .unwrap()
            .addr()
    }

    pub(crate) fn pings(&self, address: IpAddr) -> bool {
        let family = if address.is_ipv4() { 4 } else { 6 };
        self.namespace
            .try_run(&format!("busybox ping -{family} -c 1 -W 2 {address}"))
            .0
    }

    /// Answers one connection to `port` with one line.
    pub(crate) fn serve(&self, port: u16) -> std::thread::JoinHandle<()> {
        let listen = || TcpListener::bind((std::net::Ipv6Addr::UNSPECIFIED, port));
        let listener = netns::inside(&self.namespace.path, listen)
            .unwrap()
            .unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            io::Write::write_all(&mut stream, b"here\n").unwrap();
        })
    }
}

pub(crate) fn published(host_port: u16, protocol: Protocol, host_ip: Option<&str>) -> Kind {
    let host_ip = host_ip.map(|ip| ip.parse().unwrap());
    Kind::Cni(vec![PortMapping {
        host_port,
        container_port: 80,
        protocol,
        host_ip,
    }])
}

pub(crate) fn fetch(from: &Namespace, address: &str, port: u16) -> String {
    let connect = || {
        let address = SocketAddr::new(address.parse().unwrap(), port);
        let mut stream = std::net::TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        let mut text = String::new();
        io::Read::read_to_string(&mut stream, &mut text)?;
        io::Result::Ok(text)
    };
    match netns::inside(&from.path, connect).unwrap() {
        Ok(text) => text,
        Err(error) => format!("{error}"),
    }
}

/// A namespace beyond the host, to which the host's default routes lead.
pub(crate) fn outside(machine: &Machine) -> Namespace {
    let outside = Namespace::new();
    let host = &machine.host;
    host.run(&format!(
        "ip link add up0 type veth peer name up0 netns {}",
        outside.name
    ));
    for (namespace, last) in [(host, 2), (&outside, 1)] {
        namespace.run(&format!("ip address add 192.0.2.{last}/24 dev up0"));
        namespace.run(&format!("ip address add 2001:db8::{last}/64 dev up0 nodad"));
        namespace.run("ip link set up0 up");
    }
    host.run("ip route add default via 192.0.2.1");
    host.run("ip route add default via 2001:db8::1");
    // The clouds' metadata service, as if it were here.
    outside.run("ip address add 169.254.169.254/32 dev lo");
    outside.run("ip address add fd00:ec2::254/128 dev lo nodad");
    outside
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
