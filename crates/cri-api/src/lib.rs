//! The messages of Kubernetes' Container Runtime Interface that reach a sandboxer.
//!
//! containerd's CRI plugin hands a sandboxer the kubelet's [`runtime::PodSandboxConfig`] in
//! `CreateSandboxRequest.options`, a `google.protobuf.Any` of type [`POD_SANDBOX_CONFIG_TYPE_URL`].
//! Package, message names and field numbers are those of the CRI, so the same bytes are read and
//! written here.
#![forbid(unsafe_code)]

pub mod annotations;

/// The messages of `proto/runtime.proto`.
#[allow(
    warnings,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used
)]
pub mod runtime {
    include!(concat!(env!("OUT_DIR"), "/runtime.rs"));
}

/// `type_url` of the `Any` that holds a [`runtime::PodSandboxConfig`].
pub const POD_SANDBOX_CONFIG_TYPE_URL: &str = "runtime.v1.PodSandboxConfig";

#[cfg(test)]
#[path = "lib_test.rs"]
mod tests;
