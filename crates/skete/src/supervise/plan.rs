//! What a follower has to do for its Pod, container by container.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use containerd_shim_protos::api::Mount;
use skete_pod::{Addresses, ContainerInput, ImageConfig, SpecError};

/// When a container that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Always,
    /// If its exit code was not 0.
    OnFailure,
    /// Never.
    Never,
}

impl Restart {
    /// Whether a container that ended with that exit code is started again.
    pub fn applies(self, exit_code: u32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit_code != 0,
            Self::Never => false,
        }
    }
}

/// One container.
#[derive(Debug, Clone)]
pub struct ContainerPlan {
    /// Its place in the record's list.
    pub place: u8,
    /// Its name.
    pub name: String,
    /// Whether it runs before the others.
    pub init: bool,
    /// Whether it is a side-car: an init container that goes on while the others run.
    pub sidecar: bool,
    /// When it is started again.
    pub restart: Restart,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input is kept open.
    pub stdin: bool,
    /// What asks its first process to end.
    pub stop_signal: u32,
    /// Files of its image's layers, the lowest first.
    pub layers: Vec<PathBuf>,
    /// What the Pod says of it.
    pub pod: skete_pod::ContainerPlan,
    /// What its image says of it.
    pub image: ImageConfig,
    /// The sandbox it belongs to.
    pub sandbox_id: String,
    /// The Pod's addresses.
    pub addresses: Vec<IpAddr>,
}

impl ContainerPlan {
    /// The OCI runtime specification of one run, JSON.
    ///
    /// # Errors
    /// Pod and image do not fit together.
    pub fn spec(&self, task: &str) -> Result<Vec<u8>, SpecError> {
        let spec = self.pod.spec(&ContainerInput {
            image: &self.image,
            image_name: &self.pod.image,
            sandbox_id: &self.sandbox_id,
            container_id: task,
            // The guest's namespaces are none of the host's processes'.
            sandbox_pid: 0,
            addresses: Addresses {
                pod: &self.addresses,
                host: &[],
            },
        })?;
        serde_json::to_vec(&spec).map_err(|error| SpecError::Encode(self.name.clone(), error))
    }

    /// The root file system as containerd's EROFS snapshotter hands it over: the topmost layer
    /// first, then the overlay of them all.
    pub fn rootfs(&self) -> Vec<Mount> {
        let mut mounts: Vec<Mount> = self
            .layers
            .iter()
            .rev()
            .map(|layer| {
                let mut mount = Mount::new();
                mount.type_ = "erofs".to_owned();
                mount.source = layer.to_string_lossy().into_owned();
                mount.options = vec!["ro".to_owned(), "loop".to_owned()];
                mount
            })
            .collect();
        let lower = match mounts.len() {
            // One alone is not an overlay's range.
            1 => "lowerdir={{ mount 0 }}".to_owned(),
            count => format!("lowerdir={{{{ overlay 0 {} }}}}", count.saturating_sub(1)),
        };
        let mut overlay = Mount::new();
        overlay.type_ = "format/mkdir/overlay".to_owned();
        overlay.source = "overlay".to_owned();
        overlay.options = vec![lower];
        mounts.push(overlay);
        mounts
    }
}

/// How long to wait before a container is started again, as the kubelet does: not at all the
/// first time, then ten seconds, doubled up to five minutes, forgotten after ten good minutes.
#[derive(Debug, Clone, Default)]
pub struct BackOff {
    last: Option<Duration>,
}

impl BackOff {
    const FIRST: Duration = Duration::from_secs(10);
    const LONGEST: Duration = Duration::from_secs(300);
    const FORGET: Duration = Duration::from_secs(600);

    /// The time to wait after a run that took so long.
    pub fn after(&mut self, run: Duration) -> Duration {
        if run >= Self::FORGET {
            self.last = None;
        }
        let wait = match self.last {
            None => Duration::ZERO,
            Some(Duration::ZERO) => Self::FIRST,
            Some(before) => (before * 2).min(Self::LONGEST),
        };
        self.last = Some(wait);
        wait
    }
}

#[cfg(test)]
#[path = "plan_test.rs"]
mod tests;
