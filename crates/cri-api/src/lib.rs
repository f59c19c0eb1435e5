//! The messages of Kubernetes' Container Runtime Interface that reach a sandboxer, and the size
//! of the guest that they ask for.
//!
//! containerd's CRI plugin hands a sandboxer the kubelet's [`runtime::PodSandboxConfig`] in
//! `CreateSandboxRequest.options`, a `google.protobuf.Any` of type [`POD_SANDBOX_CONFIG_TYPE_URL`].
//! Package, message names and field numbers are those of the CRI, so the same bytes are read and
//! written here.
#![forbid(unsafe_code)]

pub mod annotations;
mod quantity;
mod size;

pub use quantity::{Quantity, QuantityError};
pub use size::{
    DEFAULT_MEMORY_MIB, DEFAULT_STORAGE_BYTES, DEFAULT_VCPUS, GUEST_RESERVE_MIB, Size, SizeError,
    cpu_period_us,
};

/// What is generated of `proto/runtime.proto`.
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

/// containerd's word for a client's own set of names. The Pods of `skete run` live in this one;
/// the kubelet's in `k8s.io`.
pub const OWN_NAMESPACE: &str = "skete";

/// The messages.
pub use generated::runtime;

/// `type_url` of the `Any` that holds a [`runtime::PodSandboxConfig`].
pub const POD_SANDBOX_CONFIG_TYPE_URL: &str = "runtime.v1.PodSandboxConfig";

/// `resolv.conf` as containerd writes it.
#[must_use]
pub fn resolv_conf(dns: &runtime::DNSConfig) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text.push_str(&format!("search {}\n", dns.searches.join(" ")));
    }
    for server in &dns.servers {
        text.push_str(&format!("nameserver {server}\n"));
    }
    if !dns.options.is_empty() {
        text.push_str(&format!("options {}\n", dns.options.join(" ")));
    }
    text
}

#[cfg(test)]
#[path = "lib_test.rs"]
mod tests;
