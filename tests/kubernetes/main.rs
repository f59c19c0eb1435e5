//! Pods of `runtimeClassName: skete` on a real node: kubelet, containerd, shim, VM. The cluster is
//! that of `cargo xtask cluster`, up and with the runtime installed, as `cargo xtask test` makes it;
//! `SKETE_TEST_CLUSTER` says how to speak to it.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by them

mod churn;
mod cluster;
mod failures;
mod node;
mod resize;
mod streams;
mod usage;
mod volumes;
mod workloads;
