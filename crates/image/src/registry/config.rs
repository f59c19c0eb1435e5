//! The file of registries: mirrors, plain HTTP, certificates.
//!
//! ```toml
//! [registry."docker.io"]
//! mirrors = ["mirror.example:5000"]
//!
//! [registry."mirror.example:5000"]
//! insecure = true                      # plain HTTP
//!
//! [registry."registry.example"]
//! ca = "/etc/ssl/registry.example.pem" # trusted besides the system's certificates
//! ```

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The file is read up to this many bytes.
const MAX_FILE: u64 = 1 << 20;

/// The file of registries cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is there and cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it has to be.
    #[error("{}: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and reason, in one line.
        reason: String,
    },
    /// A registry or a mirror in it is not a host.
    #[error(
        "{}: {name:?} is not a registry; want HOST or HOST:PORT, without scheme and path",
        path.display()
    )]
    Name {
        /// The file.
        path: PathBuf,
        /// The wrong name.
        name: String,
    },
}

/// What the file says of registries. The default says nothing of any.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registries {
    #[serde(default)]
    registry: BTreeMap<String, Registry>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registry {
    /// Hosts to ask first, in this order.
    #[serde(default)]
    mirrors: Vec<String>,
    /// Plain HTTP; when not said, loopback addresses are plain and all others are not.
    insecure: Option<bool>,
    /// A PEM file of certificates to trust besides the system's.
    ca: Option<PathBuf>,
}

/// One host to ask for images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// `HOST` or `HOST:PORT`, the key of its credentials.
    pub(crate) name: String,
    pub(crate) plain_http: bool,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) mirror: bool,
    /// On this machine.
    pub(crate) loopback: bool,
}

impl Registries {
    /// Where an administrator puts the file.
    pub const DEFAULT_PATH: &'static str = "/etc/skete/registries.toml";

    /// Reads a file of registries; one that is not there says nothing of any.
    ///
    /// # Errors
    /// When the file cannot be read, has an unknown key, a wrong type or a name that is no host.
    pub fn read(path: &Path) -> Result<Self, Error> {
        use std::io::Read;
        let read = || -> std::io::Result<String> {
            let mut text = String::new();
            let file = std::fs::File::open(path)?;
            file.take(MAX_FILE).read_to_string(&mut text)?;
            Ok(text)
        };
        match read() {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let registries: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text.get(..span.start)
                    .map_or(1, |head| head.matches('\n').count() + 1)
            });
            let reason = error.message().lines().next().unwrap_or_default();
            Error::Parse {
                path: path.to_owned(),
                reason: format!("line {line}: {reason}"),
            }
        })?;
        for (name, registry) in &registries.registry {
            for name in std::iter::once(name).chain(&registry.mirrors) {
                if !is_host(name) {
                    return Err(Error::Name {
                        path: path.to_owned(),
                        name: name.clone(),
                    });
                }
            }
        }
        Ok(registries)
    }

    /// The hosts to ask for the images of a registry, in order: mirrors first.
    pub(crate) fn hosts(&self, registry: &str) -> Vec<Host> {
        let mirrors = self
            .registry
            .get(registry)
            .map(|entry| entry.mirrors.as_slice());
        let mut hosts: Vec<Host> = mirrors
            .unwrap_or_default()
            .iter()
            .map(|mirror| self.host(mirror, true))
            .collect();
        hosts.push(self.host(registry, false));
        hosts
    }

    fn host(&self, name: &str, mirror: bool) -> Host {
        let entry = self.registry.get(name);
        let loopback = is_loopback(name);
        Host {
            name: name.to_owned(),
            plain_http: entry.and_then(|entry| entry.insecure).unwrap_or(loopback),
            loopback,
            ca: entry.and_then(|entry| entry.ca.clone()),
            mirror,
        }
    }
}

/// Whether a text is `HOST` or `HOST:PORT`, with nothing that could change a URL's meaning.
fn is_host(name: &str) -> bool {
    let (host, port) = split(name);
    let port_is_good = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    port_is_good
        && match address {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
            }
        }
}

/// Whether a registry is on this machine, which docker takes for plain HTTP.
fn is_loopback(name: &str) -> bool {
    let host = split(name).0;
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (name, None),
    }
}

#[cfg(test)]
#[path = "config_test.rs"]
mod tests;
