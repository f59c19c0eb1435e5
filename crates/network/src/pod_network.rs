//! The networks of the Pods of one machine: a namespace for each, set up by the CNI plugins, and
//! nothing left of it when the Pod has gone, whatever was killed when.
//!
//! Before anything is made, a record of it is written; it is removed when all of it is gone. So
//! the records tell what to clean up, and nothing that is another's is ever touched. A record is
//! locked while somebody works on it, and the lock goes with the plugin that runs: who cleans up
//! after a killed process waits for the plugin that the process had started.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::json;

use crate::conflist::{self, ConfList, PortMapping, Protocol};
use crate::plugin::{self, Call};
use crate::records::{self, Record, Records};
use crate::rules;
use crate::{bridge, netns};

/// What can go wrong with a Pod's network on one machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace.
    #[error("cannot make the Pod's network namespace")]
    Namespace(#[source] netns::Error),
    /// The configuration.
    #[error("the network is not configured")]
    Configuration(#[source] conflist::Error),
    /// The built-in network's bridge.
    #[error("cannot make the bridge {}", conflist::BRIDGE)]
    Bridge(#[source] bridge::Error),
    /// A plugin.
    #[error("cannot set up the Pod's network")]
    Plugin(#[source] plugin::Error),
    /// A plugin, while the network is taken down.
    #[error("cannot take down the network of Pod {id}")]
    Remove {
        /// Whose.
        id: String,
        /// Why not.
        #[source]
        source: plugin::Error,
    },
    /// The records.
    #[error(transparent)]
    Records(#[from] records::Error),
    /// There is a network for the Pod.
    #[error("Pod {0} has a network already")]
    Exists(String),
    /// A port of the host is another's.
    #[error("port {port}/{protocol} of this machine is in use by {user}")]
    PortTaken {
        /// Which.
        port: u16,
        /// Of which protocol.
        protocol: Protocol,
        /// By whom.
        user: String,
    },
    /// The user's own configuration has nothing that publishes ports.
    #[error("ports cannot be published: no plugin of the CNI configuration has portMappings")]
    NoPortMappings,
    /// A plugin's result is not as the specification has it.
    #[error("the CNI plugins' result cannot be understood")]
    Result(#[source] serde_json::Error),
}

/// What the plugins have set up.
#[derive(Debug, Clone, Default)]
pub struct PodNetwork {
    /// The network namespace.
    pub netns: PathBuf,
    /// The Pod's addresses, each with its network's length; none without a network.
    pub addresses: Vec<IpNet>,
    /// Name servers and search domains, if the plugins have an opinion of their own.
    pub dns: CniDns,
}

/// The `dns` of a CNI result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CniDns {
    /// Addresses of name servers.
    pub nameservers: Vec<String>,
    /// Domains in which short names are looked up.
    pub search: Vec<String>,
    /// Options for the resolver.
    pub options: Vec<String>,
}

/// The part of a CNI result that is looked at.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CniResult {
    ips: Vec<CniIp>,
    dns: CniDns,
}

#[derive(Deserialize)]
struct CniIp {
    address: IpNet,
}

/// A Pod whose network was found without its Pod.
#[derive(Debug)]
pub struct Swept {
    /// The Pod.
    pub id: String,
    /// Whether its network is gone now.
    pub removed: Result<(), Error>,
}

/// Which network a Pod gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// By the CNI plugins, with these ports published.
    Cni(Vec<PortMapping>),
    /// Loopback only (`--network none`).
    Loopback,
}

/// The networks of the Pods of one machine.
#[derive(Debug, Clone)]
pub struct PodNetworks {
    configuration: PathBuf,
    plugins: Vec<PathBuf>,
    records: Records,
}

impl PodNetworks {
    /// Where distributions put the CNI plugins.
    pub const PLUGIN_DIRECTORIES: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];

    /// `configuration` is where a user may put a `.conflist` of their own, `plugins` where the
    /// plugins are, `state` a directory that does not outlive a reboot, as namespaces and rules
    /// do not.
    pub fn new(configuration: PathBuf, plugins: Vec<PathBuf>, state: PathBuf) -> Self {
        Self {
            configuration,
            plugins,
            records: Records::new(state),
        }
    }

    /// Makes the network of the Pod `id`: a namespace called `skete-<id>`, and what `kind` says.
    /// It is made from the network namespace of the calling thread. Blocks for some tens of
    /// milliseconds.
    ///
    /// # Errors
    /// What could not be done; then nothing is left of it.
    pub fn create(&self, id: &str, kind: &Kind) -> Result<PodNetwork, Error> {
        let lock = self.records.lock(id)?;
        if self.records.exists(id) {
            return Err(Error::Exists(id.into()));
        }
        let made = self.make(id, kind, &lock);
        drop(lock);
        if made.is_err()
            && let Err(error) = self.remove(id)
        {
            tracing::warn!(
                pod = id,
                error = &error as &dyn std::error::Error,
                "what was made of the network cannot be removed; the next command tries again"
            );
        }
        made
    }

    fn make(&self, id: &str, kind: &Kind, lock: &File) -> Result<PodNetwork, Error> {
        let (ports, configuration) = match kind {
            Kind::Loopback => (Vec::new(), None),
            Kind::Cni(ports) => (ports.clone(), Some(self.configuration(!ports.is_empty())?)),
        };
        let mut record = Record {
            ports,
            configuration,
            result: None,
        };
        {
            // Which ports are whose must not change between the look and the record.
            let _all = self.records.lock_all("ports", id)?;
            self.check_ports(&record.ports)?;
            self.records.store(id, &record)?;
        }
        let netns = match netns::create(&netns_name(id)) {
            Err(error @ netns::Error::Exists(_)) => {
                // It is another's, and must not be removed with what is ours.
                self.records.forget(id)?;
                return Err(Error::Namespace(error));
            }
            other => other.map_err(Error::Namespace)?,
        };
        let Some(configuration) = record.configuration.clone() else {
            return Ok(PodNetwork {
                netns,
                ..PodNetwork::default()
            });
        };
        let call = Call {
            command: "ADD",
            id,
            netns: Some(&netns),
            directories: &self.plugins,
        };
        self.add(call, &configuration, &mut record, lock)?;
        let result = record.result.unwrap_or_default();
        let result: CniResult = serde_json::from_value(result).map_err(Error::Result)?;
        let addresses = result.ips.into_iter().map(|ip| ip.address).collect();
        Ok(PodNetwork {
            netns,
            addresses,
            dns: result.dns,
        })
    }

    fn add(
        &self,
        call: Call<'_>,
        configuration: &ConfList,
        record: &mut Record,
        lock: &File,
    ) -> Result<(), Error> {
        for (name, mut plugin) in configuration.plugins(&record.ports) {
            if let Some(previous) = &record.result {
                plugin.insert("prevResult".into(), previous.clone());
            }
            // Two of these at once that both miss their common chain fail.
            let _alone = match name.as_str() {
                "portmap" | "firewall" => Some(self.records.lock_all("iptables", call.id)?),
                _ => None,
            };
            let result = plugin::call(call, &name, &json!(plugin), lock).map_err(Error::Plugin)?;
            record.result = Some(result);
            // The next plugin's rules are found again by the addresses in here.
            self.records.store(call.id, record)?;
        }
        Ok(())
    }

    /// Takes away the network of the Pod `id`, or what is left of it: its rules, its addresses'
    /// leases, its namespace. Nothing to do is no error.
    ///
    /// # Errors
    /// The first of what could not be done; all else is done, and the record stays, so that it
    /// can be tried again.
    pub fn remove(&self, id: &str) -> Result<(), Error> {
        let lock = self.records.lock(id)?;
        let record = self.records.load(id)?;
        let mut undone = Ok(());
        if let Some(record) = &record {
            let name = netns_name(id);
            if let Some(configuration) = &record.configuration {
                let netns = netns::path(&name).map_err(Error::Namespace)?;
                let netns = netns::is_at(&netns).then_some(netns.as_path());
                let call = Call {
                    command: "DEL",
                    id,
                    netns,
                    directories: &self.plugins,
                };
                undone = self.undo(call, configuration, record, &lock);
            }
            netns::delete(&name).map_err(Error::Namespace)?;
        }
        self.records.free_leases(id)?;
        undone?;
        Ok(self.records.remove(id)?)
    }

    fn undo(
        &self,
        call: Call<'_>,
        configuration: &ConfList,
        record: &Record,
        lock: &File,
    ) -> Result<(), Error> {
        let mut first = Ok(());
        for (name, mut plugin) in configuration.plugins(&record.ports).into_iter().rev() {
            if let Some(result) = &record.result {
                plugin.insert("prevResult".into(), result.clone());
            }
            let done = plugin::call(call, &name, &json!(plugin), lock);
            let done = done.map(drop).map_err(|source| Error::Remove {
                id: call.id.into(),
                source,
            });
            first = first.and(done);
        }
        if configuration.masquerades() {
            let rest = rules::remove_masquerade(call.id);
            first = first.and(rest.map_err(|source| Error::Remove {
                id: call.id.into(),
                source,
            }));
        }
        first
    }

    /// The Pods that have a network or something left of one, sorted.
    ///
    /// # Errors
    /// If the records cannot be read.
    pub fn list(&self) -> Result<Vec<String>, Error> {
        Ok(self.records.list()?)
    }

    /// Removes the networks of the Pods that are not `alive`. A Pod must be known to be alive
    /// before its network is created.
    ///
    /// # Errors
    /// If the records cannot be read.
    pub fn sweep(&self, alive: impl Fn(&str) -> bool) -> Result<Vec<Swept>, Error> {
        let dead = self.list()?.into_iter().filter(|id| !alive(id));
        Ok(dead
            .map(|id| Swept {
                removed: self.remove(&id),
                id,
            })
            .collect())
    }

    /// The user's configuration, or ours, for which the host is made ready: what all its Pods
    /// share, and stays.
    fn configuration(&self, ports: bool) -> Result<ConfList, Error> {
        let user = ConfList::load(&self.configuration).map_err(Error::Configuration)?;
        match user {
            Some(list) if ports && !list.publishes() => Err(Error::NoPortMappings),
            Some(list) => Ok(list),
            None => {
                bridge::ensure().map_err(Error::Bridge)?;
                let firewall = rules::apply().map_err(Error::Plugin)?;
                if firewall && ports {
                    rules::accept_published().map_err(Error::Plugin)?;
                }
                let list = ConfList::built_in(&self.records.leases(), ports, firewall);
                list.map_err(Error::Configuration)
            }
        }
    }

    /// That no other Pod has one of `ports`, nor a process of the host: the rules of a
    /// published port would take what is meant for it.
    fn check_ports(&self, ports: &[PortMapping]) -> Result<(), Error> {
        if ports.is_empty() {
            return Ok(());
        }
        let taken = |port: &PortMapping, user: String| Error::PortTaken {
            port: port.host_port,
            protocol: port.protocol,
            user,
        };
        for (i, port) in ports.iter().enumerate() {
            if ports[..i].iter().any(|other| overlap(port, other)) {
                return Err(taken(port, "the same Pod".into()));
            }
        }
        for id in self.list()? {
            let others = self
                .records
                .load(&id)?
                .map(|record| record.ports)
                .unwrap_or_default();
            for port in ports {
                if others.iter().any(|other| overlap(port, other)) {
                    return Err(taken(port, format!("Pod {id}")));
                }
            }
        }
        for port in ports {
            let address = SocketAddr::new(
                port.host_ip.unwrap_or(IpAddr::from([0, 0, 0, 0])),
                port.host_port,
            );
            let bound = match port.protocol {
                Protocol::Tcp => TcpListener::bind(address).map(drop),
                Protocol::Udp => UdpSocket::bind(address).map(drop),
                Protocol::Sctp => Ok(()),
            };
            if bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
                return Err(taken(port, "another process".into()));
            }
        }
        Ok(())
    }
}

/// What the network namespace of the Pod `id` is called.
pub fn netns_name(id: &str) -> String {
    format!("skete-{id}")
}

fn overlap(a: &PortMapping, b: &PortMapping) -> bool {
    let addresses = match (a.host_ip, b.host_ip) {
        (Some(a), Some(b)) => a == b || a.is_unspecified() || b.is_unspecified(),
        _ => true,
    };
    a.host_port == b.host_port && a.protocol == b.protocol && addresses
}

#[cfg(test)]
#[path = "pod_network_test.rs"]
mod tests;
