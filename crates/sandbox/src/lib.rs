//! The engine: a Pod's life from nothing to nothing.
//!
//! [`sandbox::Sandbox`] makes the VM, gives it its network, disks and volumes, runs the containers
//! in it through the agent, and takes everything down again. It knows nothing of ttrpc servers or
//! of containerd's events: the shim translates.
#![forbid(unsafe_code)]

pub mod agent;
mod block_device;
mod blocks;
pub mod cgroup;
pub mod cleanup;
pub mod container;
pub mod description;
mod disk_volumes;
pub mod error;
mod forward;
pub mod host_files;
pub mod layout;
mod meter;
mod mountinfo;
pub mod network;
pub mod policy;
pub mod process;
pub mod programs;
pub mod resize;
pub mod rootfs;
pub mod sandbox;
pub mod scratch;
pub mod size;
pub mod stdio;
mod tasks;
pub mod timings;
pub mod vm;
pub mod volumes;
