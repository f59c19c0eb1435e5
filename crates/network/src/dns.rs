//! A Pod's `/etc/resolv.conf` and `/etc/hosts`.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Most name servers that the C libraries ask (`MAXNS`, resolv.conf(5)).
const MAX_SERVERS: usize = 3;

/// A file of this length, in bytes, is no `resolv.conf`.
const MAX_LENGTH: u64 = 64 << 10;

/// What can go wrong in finding out how the host resolves names.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// How names are resolved, as resolv.conf(5) has it; its `Display` is that file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Whom to ask, in order.
    pub servers: Vec<IpAddr>,
    /// The domains in which short names are looked up, in order.
    pub search: Vec<String>,
    /// Options such as `ndots:5`.
    pub options: Vec<String>,
}

impl Resolver {
    /// How the host whose root directory is `root` resolves names, as far as a Pod can do it the
    /// same way: name servers on the host's loopback are another address there. If there are no
    /// others (systemd-resolved), those that the local one asks are taken.
    ///
    /// Without any, the result has none, which its user should be told: names will not resolve.
    /// No public server is put in their place: whom a Pod's lookups are told to is not ours to
    /// decide.
    ///
    /// # Errors
    /// If a file is there and cannot be read.
    pub fn of_host(root: &Path) -> Result<Self, Error> {
        let host = Self::read(&root.join("etc/resolv.conf"))?;
        if !host.servers.is_empty() {
            return Ok(host);
        }
        let behind = Self::read(&root.join("run/systemd/resolve/resolv.conf"))?;
        Ok(if behind.servers.is_empty() {
            host
        } else {
            behind
        })
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let read = || {
            let mut text = Vec::new();
            let file = std::fs::File::open(path)?;
            io::Read::read_to_end(&mut io::Read::take(file, MAX_LENGTH), &mut text)?;
            io::Result::Ok(String::from_utf8_lossy(&text).into_owned())
        };
        match read() {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// By resolv.conf(5), without the servers that a Pod cannot reach.
    fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let keyword = words.next().unwrap_or_default();
            // A comment may follow on the line.
            let mut words = words.take_while(|word| !word.starts_with(['#', ';']));
            match keyword {
                "nameserver" => {
                    // With a zone (`fe80::1%eth0`) it is no address, and on the host's link.
                    let server = words.next().and_then(|word| word.parse().ok());
                    resolver.servers.extend(server.filter(reachable));
                }
                // Of several, the last one holds.
                "search" | "domain" => resolver.search = words.map(Into::into).collect(),
                "options" => resolver.options.extend(words.map(Into::into)),
                _ => {}
            }
        }
        resolver.servers.truncate(MAX_SERVERS);
        resolver
    }
}

fn reachable(server: &IpAddr) -> bool {
    let on_the_link = match server {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !server.is_loopback() && !server.is_unspecified() && !on_the_link
}

impl fmt::Display for Resolver {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.servers {
            writeln!(to, "nameserver {server}")?;
        }
        if !self.search.is_empty() {
            writeln!(to, "search {}", self.search.join(" "))?;
        }
        if !self.options.is_empty() {
            writeln!(to, "options {}", self.options.join(" "))?;
        }
        Ok(())
    }
}

/// The content of a Pod's `/etc/hosts`, as the kubelet writes it: `hostname` (and before it
/// `hostname.domain`, if there is one) at each of `addresses`, and then `aliases`, each an
/// address and its names. Without addresses the host's name is on loopback.
pub fn hosts(
    hostname: &str,
    domain: Option<&str>,
    addresses: &[IpAddr],
    aliases: &[(IpAddr, Vec<String>)],
) -> String {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::\tip6-localnet\n\
         fe00::\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n",
    );
    let own = match addresses {
        [] => &[IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)],
        _ => addresses,
    };
    for address in own {
        match domain {
            Some(domain) => {
                text.push_str(&format!("{address}\t{hostname}.{domain}\t{hostname}\n"));
            }
            None => text.push_str(&format!("{address}\t{hostname}\n")),
        }
    }
    for (address, names) in aliases {
        text.push_str(&format!("{address}\t{}\n", names.join("\t")));
    }
    text
}

#[cfg(test)]
#[path = "dns_test.rs"]
mod tests;
