//! A container of the sandbox: its first process and those that were started in it later.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use serde_json::Value;

use crate::error::EngineError;
use crate::process::{Process, Status, Stdio};
use crate::resize::Allowance;
use crate::volumes::TerminationLog;

/// A specification is data of the Pod's author.
const MAX_SPEC_BYTES: u64 = 4 << 20;

/// What containerd asks for by `CreateTaskRequest`.
#[derive(Debug, Clone)]
pub struct ContainerRequest {
    /// Unique within the sandbox.
    pub id: String,
    /// The directory that holds `config.json`.
    pub bundle: PathBuf,
    /// Its root file system.
    pub rootfs: crate::rootfs::Rootfs,
    /// Its FIFOs.
    pub stdio: Stdio,
}

/// A container.
pub struct Container {
    /// Its bundle, as given.
    pub bundle: PathBuf,
    /// Its first process.
    pub init: Arc<Process>,
    /// The virtio serial of its disk.
    pub disk: String,
    /// Where its last words go.
    pub termination_log: Option<TerminationLog>,
    execs: Mutex<BTreeMap<String, Arc<Process>>>,
    allowance: Mutex<Allowance>,
}

impl Container {
    /// A container whose process waits to be started.
    #[must_use]
    pub fn new(
        request: &ContainerRequest,
        disk: String,
        termination_log: Option<TerminationLog>,
    ) -> Self {
        Self {
            bundle: request.bundle.clone(),
            init: Arc::new(Process::new(&request.id, "", request.stdio.clone())),
            disk,
            termination_log,
            execs: Mutex::default(),
            allowance: Mutex::default(),
        }
    }

    /// What it may use.
    pub fn allowance(&self) -> Allowance {
        *self
            .allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is told of what it may use.
    pub fn set_allowance(&self, allowance: Allowance) {
        *self
            .allowance
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = allowance;
    }

    /// The process of that exec id; an empty id names the first process.
    ///
    /// # Errors
    /// If there is none.
    pub fn process(&self, exec_id: &str) -> Result<Arc<Process>, EngineError> {
        if exec_id.is_empty() {
            return Ok(Arc::clone(&self.init));
        }
        let execs = self.execs.lock().unwrap_or_else(PoisonError::into_inner);
        let found = execs.get(exec_id).map(Arc::clone);
        found.ok_or_else(|| EngineError::NotFound {
            what: "exec",
            id: exec_id.to_owned(),
        })
    }

    /// Registers a further process.
    ///
    /// # Errors
    /// If the id is taken, or the container does not run.
    pub fn add_exec(&self, exec_id: &str, stdio: Stdio) -> Result<Arc<Process>, EngineError> {
        if self.init.status() != Status::Running {
            return Err(EngineError::WrongState {
                what: "container",
                id: self.init.container_id.clone(),
                state: "is not running",
            });
        }
        let mut execs = self.execs.lock().unwrap_or_else(PoisonError::into_inner);
        if execs.contains_key(exec_id) {
            return Err(EngineError::AlreadyExists {
                what: "exec",
                id: exec_id.to_owned(),
            });
        }
        let process = Arc::new(Process::new(&self.init.container_id, exec_id, stdio));
        execs.insert(exec_id.to_owned(), Arc::clone(&process));
        Ok(process)
    }

    /// Forgets an exec.
    pub fn remove_exec(&self, exec_id: &str) {
        self.execs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(exec_id);
    }

    /// Every process of it that was started here, the first one last, so that execs are seen to
    /// end before their container does.
    #[must_use]
    pub fn processes(&self) -> Vec<Arc<Process>> {
        let execs = self.execs.lock().unwrap_or_else(PoisonError::into_inner);
        execs.values().chain([&self.init]).map(Arc::clone).collect()
    }
}

/// Reads `config.json` of a bundle, keeping every field as it is.
///
/// # Errors
/// If it is missing, too large, or no JSON object.
pub fn read_spec(bundle: &Path) -> Result<Value, EngineError> {
    use io::Read;
    let path = bundle.join("config.json");
    let read = || {
        let mut bytes = Vec::new();
        fs::File::open(&path)?
            .take(MAX_SPEC_BYTES + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_SPEC_BYTES {
            return Err(io::Error::other(format!(
                "larger than {MAX_SPEC_BYTES} bytes"
            )));
        }
        let value: Value = serde_json::from_slice(&bytes)?;
        if value.is_object() {
            Ok(value)
        } else {
            Err(io::Error::other("not a JSON object"))
        }
    };
    read().map_err(|source| EngineError::Spec {
        path: path.clone(),
        source,
    })
}
