//! Why the engine could not do what it was asked, and of which kind that is to its caller.

use std::io;
use std::path::PathBuf;

use crate::agent::AgentError;
use crate::block_device::NoDevice;
use crate::cgroup::CgroupError;
use crate::layout::LayoutError;
use crate::policy::PolicyError;
use crate::programs::ProgramsError;
use crate::rootfs::RootfsError;
use crate::scratch::ScratchError;
use crate::size::SizeError;
use crate::volumes::VolumeError;
use crate::volumes::disk::DiskVolumeError;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The sandbox's names or paths.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The Pod's size.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// The machine cannot hold the Pod.
    #[error(transparent)]
    Fit(#[from] skete_hypervisor::FitError),
    /// What should run the guest's instructions.
    #[error(transparent)]
    Accelerator(#[from] skete_hypervisor::accelerator::ChoiceError),
    /// The node's policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The Pod's cgroup.
    #[error("set up the Pod's cgroup")]
    Cgroup(#[from] CgroupError),
    /// The installation.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// The scratch disk.
    #[error("make the scratch disk")]
    Scratch(#[from] ScratchError),
    /// The usage journal: a Pod that cannot be metered is not started.
    #[error("meter the Pod's use")]
    Journal(#[from] skete_usage::WriteError),
    /// The network.
    #[error("attach to the network namespace {netns}")]
    Network {
        /// Its path.
        netns: PathBuf,
        /// What went wrong.
        #[source]
        source: Box<skete_network::AttachError>,
    },
    /// The Pod's loopback.
    #[error("port-forward")]
    PortForward(#[source] Box<skete_network::ForwardError>),
    /// The virtual machine.
    #[error("virtual machine")]
    Vm(#[from] skete_hypervisor::Error),
    /// The vsock device's process.
    #[error("start the vsock device")]
    Vsock(#[source] io::Error),
    /// The agent in the guest.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The guest ended before its agent answered.
    #[error("the guest ended before its agent answered: {0}")]
    GuestEnded(String),
    /// The container's root file system.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// The container's volumes.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// A volume with a file system on a block device.
    #[error(transparent)]
    DiskVolume(#[from] DiskVolumeError),
    /// A block device of a volume.
    #[error(transparent)]
    Device(#[from] NoDevice),
    /// The container's `config.json`.
    #[error("read the container's specification {path}")]
    Spec {
        /// In the bundle.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: io::Error,
    },
    /// A FIFO of a process.
    #[error("open {path}")]
    Fifo {
        /// As containerd named it.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file or directory of the sandbox.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On the host.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// There is no such thing.
    #[error("{what} {id} is not here")]
    NotFound {
        /// `sandbox`, `container` or `exec`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// There is one already.
    #[error("{what} {id} is here already")]
    AlreadyExists {
        /// `sandbox`, `container` or `exec`.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// Not in this state.
    #[error("{what} {id} {state}")]
    WrongState {
        /// `sandbox`, `container` or `process`.
        what: &'static str,
        /// Its id.
        id: String,
        /// `is not running`, `has not been started`, …
        state: &'static str,
    },
    /// A request that says too little or too much.
    #[error("{0}")]
    InvalidArgument(String),
}

/// Of which kind an error is, in the words of gRPC's status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is no such thing.
    NotFound,
    /// There is one already.
    AlreadyExists,
    /// Not in this state.
    FailedPrecondition,
    /// The request can never work.
    InvalidArgument,
    /// Permission was denied in the guest: not executable.
    PermissionDenied,
    /// Anything else.
    Internal,
}

impl EngineError {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NotFound,
            Self::AlreadyExists { .. } => Kind::AlreadyExists,
            Self::WrongState { .. } => Kind::FailedPrecondition,
            Self::InvalidArgument(_)
            | Self::Layout(_)
            | Self::Size(_)
            | Self::Fit(_)
            | Self::Accelerator(_)
            | Self::Policy(PolicyError::NotAllowed(_))
            | Self::Rootfs(_)
            | Self::Volume(_)
            | Self::Spec { .. } => Kind::InvalidArgument,
            Self::Agent(error) => match error.code() {
                Some(ttrpc::Code::NOT_FOUND) => Kind::NotFound,
                Some(ttrpc::Code::ALREADY_EXISTS) => Kind::AlreadyExists,
                Some(ttrpc::Code::FAILED_PRECONDITION) => Kind::FailedPrecondition,
                Some(ttrpc::Code::INVALID_ARGUMENT) => Kind::InvalidArgument,
                Some(ttrpc::Code::PERMISSION_DENIED) => Kind::PermissionDenied,
                _ => Kind::Internal,
            },
            _ => Kind::Internal,
        }
    }

    /// The error and its sources in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its sources in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(": ");
        line.push_str(&error.to_string());
        source = error.source();
    }
    line
}
