//! A Kubernetes node that runs Pods in microVMs: how it becomes one, how it stops being one, and
//! how it is.
//!
//! [`install`] puts the runtime in place beside what runs, and tells containerd of it by one file
//! that containerd imports. All that it changes is on record first, so that [`uninstall`] leaves
//! the node as it was. [`status`] looks, and changes nothing.
#![forbid(unsafe_code)]

pub mod config;
pub mod containerd;
pub mod error;
mod files;
pub mod install;
pub mod label;
pub mod lock;
pub mod memory;
pub mod metrics;
pub mod program;
pub mod record;
pub mod status;
pub mod systemd;
#[cfg(test)]
mod testing;
pub mod undo;
pub mod uninstall;
pub mod versions;
