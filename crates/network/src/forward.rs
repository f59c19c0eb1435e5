//! The Pod's loopback on the host's side, for port-forward: containerd connects to
//! `localhost:PORT` in the Pod's network namespace, where no process of the Pod is. Every such
//! connection is led to one listener, whose owner relays it to the guest's own loopback.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::plugin;
use crate::{netns, rules};

/// What can go wrong with a Pod's loopback.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The namespace cannot be entered.
    #[error("cannot take over the Pod's loopback")]
    Namespace(#[source] netns::Error),
    /// No socket.
    #[error("cannot listen on the loopback of {}", .netns.display())]
    Listen {
        /// In which namespace.
        netns: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The rules were not taken.
    #[error("cannot lead the connections of {} to one port", .netns.display())]
    Rules {
        /// In which namespace.
        netns: PathBuf,
        /// Why not.
        #[source]
        source: plugin::Error,
    },
}

/// The listeners that every TCP connection to a namespace's loopback reaches. They do not block.
#[derive(Debug)]
pub struct Loopback {
    /// For 127.0.0.0/8.
    pub v4: TcpListener,
    /// For ::1; none where the kernel has no IPv6.
    pub v6: Option<TcpListener>,
}

impl Loopback {
    /// Takes over the loopback of the network namespace at `netns`. It is given back with the
    /// namespace.
    ///
    /// Blocks for some milliseconds; the calling thread stays in its namespace.
    ///
    /// # Errors
    /// As system calls and `nft` fail.
    pub fn take(netns: &Path) -> Result<Self, Error> {
        netns::inside(netns, || Self::take_here(netns)).map_err(Error::Namespace)?
    }

    fn take_here(netns: &Path) -> Result<Self, Error> {
        let listening = |source| Error::Listen {
            netns: netns.to_owned(),
            source,
        };
        let v4 = listen((Ipv4Addr::LOCALHOST, 0).into()).map_err(listening)?;
        let v6 = listen((Ipv6Addr::LOCALHOST, 0).into()).ok();
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        let v4_port = port(&v4).map_err(listening)?;
        let v6_port = v6.as_ref().map(port).transpose().map_err(listening)?;
        rules::nft(&table(v4_port, v6_port)).map_err(|source| Error::Rules {
            netns: netns.to_owned(),
            source,
        })?;
        Ok(Self { v4, v6 })
    }
}

/// The port that a connection to the loopback was made for, before it was led here.
///
/// # Errors
/// If the connection is none that was led here.
pub fn original_port(connection: impl AsFd, v6: bool) -> io::Result<u16> {
    use rustix::net::sockopt::{ip_original_dst, ipv6_original_dst};
    Ok(if v6 {
        ipv6_original_dst(connection)?.port()
    } else {
        ip_original_dst(connection)?.port()
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn table(v4: u16, v6: Option<u16>) -> String {
    let v6 = v6.map_or_else(String::new, |port| {
        format!("    ip6 daddr ::1 meta l4proto tcp redirect to :{port}\n")
    });
    format!(
        "table inet skete-loopback\n\
         delete table inet skete-loopback\n\
         table inet skete-loopback {{\n\
         \x20 chain output {{\n\
         \x20   type nat hook output priority -100; policy accept;\n\
         \x20   ip daddr 127.0.0.0/8 meta l4proto tcp redirect to :{v4}\n\
         {v6}\x20 }}\n\
         }}\n"
    )
}

#[cfg(test)]
#[path = "forward_test.rs"]
mod tests;
