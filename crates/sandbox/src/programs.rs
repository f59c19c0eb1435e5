//! Where the engine finds the programs and guest files it was installed with: relative to its own
//! executable, so that an installation under any prefix is whole, and an upgrade beside a running
//! Pod does not mix versions.

use std::path::{Path, PathBuf};
use std::{env, io};

/// An installation: `PREFIX/bin` and `PREFIX/share/skete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    prefix: PathBuf,
}

/// A part of the installation that is not there.
#[derive(Debug, thiserror::Error)]
pub enum ProgramsError {
    /// The system does not say which executable this is.
    #[error("find the installation of this program")]
    NoExecutable(#[source] io::Error),
    /// A file is missing.
    #[error("{0} is missing: run `cargo xtask install` again")]
    Missing(PathBuf),
}

impl Programs {
    /// The installation that this executable belongs to.
    ///
    /// # Errors
    /// If the system does not say where the executable is.
    pub fn of_this_executable() -> Result<Self, ProgramsError> {
        let executable = env::current_exe().map_err(ProgramsError::NoExecutable)?;
        let prefix = executable
            .parent()
            .and_then(Path::parent)
            .unwrap_or(Path::new("/"));
        Ok(Self::below(prefix))
    }

    /// The installation under `prefix`.
    #[must_use]
    pub fn below(prefix: &Path) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// The vsock device's program.
    ///
    /// # Errors
    /// If it is missing.
    pub fn vsock(&self) -> Result<PathBuf, ProgramsError> {
        self.file("bin/skete-vsock")
    }

    /// The guest's kernel, an ELF file with a PVH note.
    ///
    /// # Errors
    /// If it is missing.
    pub fn kernel(&self) -> Result<PathBuf, ProgramsError> {
        self.file("share/skete/vmlinux")
    }

    /// The guest's first root file system, a cpio archive that holds the agent.
    ///
    /// # Errors
    /// If it is missing.
    pub fn initramfs(&self) -> Result<PathBuf, ProgramsError> {
        self.file("share/skete/initramfs.cpio")
    }

    /// What the node's administrator allows Pods to choose; there may be no such file.
    #[must_use]
    pub fn policy(&self) -> PathBuf {
        self.prefix.join("share/skete/policy.json")
    }

    fn file(&self, below: &str) -> Result<PathBuf, ProgramsError> {
        let path = self.prefix.join(below);
        if path.is_file() {
            Ok(path)
        } else {
            Err(ProgramsError::Missing(path))
        }
    }
}
