//! What a sandbox is, for whoever looks at the node: written when it is made, beside its sockets.

use std::io;

use serde::{Deserialize, Serialize};
use skete_cri_api::runtime::PodSandboxConfig;
use skete_hypervisor::Accelerator;

use crate::error::EngineError;
use crate::layout::Layout;
use crate::size::Size;

/// Bytes of the largest description that is read.
const MAX_BYTES: u64 = 64 << 10;

/// The machine's architecture, as OCI images name it.
#[must_use]
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A Pod and its VM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// The Pod's name.
    pub name: String,
    /// Its Namespace.
    pub namespace: String,
    /// Its UID.
    pub uid: String,
    /// The guest's CPUs.
    pub vcpus: u32,
    /// The guest's memory in MiB.
    pub memory_mib: u64,
    /// `kvm` or `emulation`.
    pub accelerator: String,
}

impl Description {
    /// Of a sandbox that is being made.
    #[must_use]
    pub fn new(config: &PodSandboxConfig, size: &Size, accelerator: Accelerator) -> Self {
        Self {
            name: config.metadata.name.clone(),
            namespace: config.metadata.namespace.clone(),
            uid: config.metadata.uid.clone(),
            vcpus: size.vcpus,
            memory_mib: size.memory_mib,
            accelerator: format!("{accelerator:?}").to_lowercase(),
        }
    }

    /// Writes it down.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, layout: &Layout) -> Result<(), EngineError> {
        let path = layout.description();
        let bytes = serde_json::to_vec(self).map_err(io::Error::from);
        bytes
            .and_then(|bytes| std::fs::write(&path, bytes))
            .map_err(|source| EngineError::Io {
                action: "write",
                path,
                source,
            })
    }

    /// Reads it; `None` if there is none yet, or none any more.
    #[must_use]
    pub fn read(layout: &Layout) -> Option<Self> {
        use std::io::Read;
        let mut bytes = Vec::new();
        let file = std::fs::File::open(layout.description()).ok()?;
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}
