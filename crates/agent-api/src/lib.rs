//! What the engine and the agent in the guest say to each other.
//!
//! Three virtio-vsock ports, all served by the agent:
//!
//! * [`CONTROL_PORT`]: the ttrpc service [`agent_ttrpc::Agent`] of `proto/agent.proto`.
//! * [`STDIO_PORT`]: the bytes of a process. The engine sends one [`StdioHeader`] line, the agent
//!   answers [`OK_LINE`] or one line that begins with `ERR `, and raw bytes follow until either
//!   side closes its half. Streams are connected before the process starts.
//! * [`FORWARD_PORT`]: a TCP connection into the guest's network namespace. The engine sends one
//!   `tcp ADDRESS:PORT` line, the agent answers as above, and raw bytes follow.
// What is generated allows unsafe code for itself, and has none.
#![deny(unsafe_code)]

mod stdio;

pub use stdio::{HeaderError, MAX_LINE, OK_LINE, StdioHeader, StdioStream};

/// What is generated of `proto/agent.proto`.
#[allow(
    warnings,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/mod.rs"));
}

/// The messages.
pub use generated::agent;
/// The service: client, server trait and registration.
pub use generated::agent_ttrpc;

/// The guest's context id. Every guest has the same one: each has a vsock device of its own.
pub const GUEST_CID: u32 = 3;
/// Port of the ttrpc service.
pub const CONTROL_PORT: u32 = 1024;
/// Port of the processes' standard streams.
pub const STDIO_PORT: u32 = 1025;
/// Port that relays TCP connections into the guest.
pub const FORWARD_PORT: u32 = 1026;

/// Directory in the guest that holds one directory per volume.
pub const VOLUMES_DIR: &str = "/run/skete/volumes";
/// The guest's `resolv.conf`, bind-mounted into containers.
pub const RESOLV_CONF: &str = "/run/skete/etc/resolv.conf";
/// The guest's `hosts`, bind-mounted into containers.
pub const HOSTS: &str = "/run/skete/etc/hosts";
