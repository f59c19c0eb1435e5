//! A virtio socket device ([virtio 1.2, 5.10][spec]) between a guest's `AF_VSOCK` and Unix sockets
//! of the host.
//!
//! - A host program connects to the device's Unix socket, writes `CONNECT <port>\n`, and reads
//!   `OK <host port>\n` once a program in the guest has accepted; the rest is the stream. If
//!   nothing in the guest accepts, its socket is closed. Firecracker made this a convention.
//! - A guest's connection to port P of the host goes to the Unix socket `<path>_P`, and is reset
//!   if nobody listens there.
//!
//! The [`device`] is written on `virtio-queue` and knows nothing of how it reaches a guest: a
//! monitor can have it as its own, and [`vhost_user`] offers it to any that speaks vhost-user.
//!
//! # The guest is hostile
//! Each packet is checked, what a guest may take up is bounded by [`muxer::Limits`], and no turn of
//! the device takes long. What breaks the protocol ends the connection it names; what breaks a
//! queue ends all.
//!
//! [spec]: https://docs.oasis-open.org/virtio/virtio/v1.2/csd01/virtio-v1.2-csd01.html#x1-4260009

#![forbid(unsafe_code)]

mod backlog;
mod chain;
mod connection;
pub mod device;
mod handshake;
pub mod muxer;
pub mod packet;
#[cfg(test)]
mod test_driver;
pub mod vhost_user;
mod vring;

pub use device::Device;
pub use muxer::{Limits, Muxer};
