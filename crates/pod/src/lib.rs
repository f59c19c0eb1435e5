//! Turns a Pod into what a runtime is handed.
//!
//! On a cluster the kubelet and containerd's CRI plugin do this work; on one machine this crate
//! does, so that the shim gets the same things from both doors:
//!
//! 1. [`Manifest`] reads a Pod with its ConfigMaps and Secrets from a file, refuses what is not
//!    honoured, and fills in defaults. [`RunOptions`] makes one of command-line flags.
//! 2. [`plan`] works out everything that is known before network and images are: the sandbox's
//!    configuration, the guest's size, the volumes, the containers.
//! 3. [`PodPlan::write_volumes`] and [`PodPlan::write_etc_files`] put files where the kubelet and
//!    containerd keep them.
//! 4. [`ContainerPlan::spec`] makes the OCI runtime specification of a container.
//!
//! [`Workloads`] tells of any workload's Pods how large they would be.
#![forbid(unsafe_code)]

pub mod annotations;
mod atomic;
mod check;
mod defaults;
mod env;
mod expand;
mod fields;
mod image;
mod manifest;
mod names;
mod plan;
mod random;
mod resources;
mod sandbox;
mod seccomp;
mod security;
mod spec;
mod tree;
mod validate;
mod volumes;
mod workload;

pub use check::Problem;
pub use env::Addresses;
pub use image::ImageConfig;
pub use manifest::{Manifest, ManifestError};
pub use plan::{
    ContainerPlan, PlanError, PodContext, PodPlan, PullPolicy, RestartPolicy, Role, WriteError,
    plan,
};
pub use random::{generate_name, new_uid};
pub use resources::QosClass;
pub use skete_cri_api::{
    DEFAULT_MEMORY_MIB, DEFAULT_VCPUS, Quantity, QuantityError, Size, SizeError,
};
pub use spec::{ContainerInput, SpecError};
pub use volumes::{EmptyDir, FilesKind, FilesVolume, VolumeFile, VolumePlan, VolumeSource};
pub use workload::{PodCount, Resources, Workload, Workloads};
