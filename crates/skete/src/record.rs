//! What is known of a Pod, kept in `pod.json`: written by `skete run`, then only by the Pod's
//! follower, and at last by a sweep if the follower died.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::paths::Paths;

/// Version of the record's schema. A record of a higher version is left alone.
pub const SCHEMA: u32 = 1;
/// A record is never larger: a Pod file is bounded, and so is what is added to it.
const MAX_RECORD_BYTES: u64 = 8 << 20;
/// Digits of an id that people see.
pub const SHORT_ID: usize = 12;

/// What can go wrong with a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The record could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The record could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The record is not what this program writes.
    #[error("{path} is not a Pod record")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The record was written by a later version of this program.
    #[error("{path} has schema {found}, this program knows {SCHEMA}: use the newer skete")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
    },
    /// The identifier is not 64 hexadecimal digits.
    #[error("{0:?} is not a Pod id")]
    Id(String),
}

/// A Pod's identifier: 64 lower-case hexadecimal digits, random.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PodId(String);

impl PodId {
    /// A new random one.
    ///
    /// # Errors
    /// The kernel's random numbers could not be had.
    pub fn random() -> io::Result<Self> {
        random_hex(32).map(Self)
    }

    /// All 64 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve digits.
    pub fn short(&self) -> &str {
        &self.0[..SHORT_ID]
    }
}

impl TryFrom<String> for PodId {
    type Error = RecordError;

    fn try_from(text: String) -> Result<Self, RecordError> {
        let right = text.len() == 64
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if right {
            Ok(Self(text))
        } else {
            Err(RecordError::Id(text))
        }
    }
}

impl From<PodId> for String {
    fn from(id: PodId) -> Self {
        id.0
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `bytes` random bytes in hexadecimal.
///
/// # Errors
/// The kernel's random numbers could not be had.
pub fn random_hex(bytes: usize) -> io::Result<String> {
    let mut buffer = vec![0u8; bytes];
    files::random(&mut buffer)?;
    Ok(buffer.iter().map(|b| format!("{b:02x}")).collect())
}

/// A random UUID (version 4).
///
/// # Errors
/// The kernel's random numbers could not be had.
pub fn random_uuid() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    files::random(&mut bytes)?;
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}

/// Kubernetes' Pod phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Being made ready: not every container has been started yet.
    Pending,
    /// At least one container runs or is about to be restarted.
    Running,
    /// Every container ended with exit code 0 and none is restarted.
    Succeeded,
    /// Every container ended, one of them not with 0, or the Pod was ended from outside.
    Failed,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        })
    }
}

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerPhase {
    /// Not started yet, or waiting for its restart.
    Waiting,
    /// Its process runs.
    Running,
    /// Its process has ended.
    Terminated,
}

/// How one run of a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Termination {
    /// Exit code, 128 + signal if a signal ended it.
    pub exit_code: u32,
    /// `Completed`, `Error`, `OOMKilled`, `ContainerCannotRun`, or the Pod's reason.
    pub reason: String,
    /// One line more, where there is something to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When its process started; absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Timestamp,
}

/// What is known of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRecord {
    /// Name in the Pod.
    pub name: String,
    /// Whether it runs before the others.
    #[serde(default)]
    pub init: bool,
    /// Image as the Pod names it.
    pub image: String,
    /// Digest of the image's configuration: what really ran.
    #[serde(default)]
    pub image_id: String,
    /// What it runs, as one would type it.
    #[serde(default)]
    pub command: String,
    /// What it is doing.
    pub state: ContainerPhase,
    /// Why it waits: `PodInitializing`, `CrashLoopBackOff`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub waiting: String,
    /// The engine's id of its latest run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub task_id: String,
    /// Process id in the guest of its latest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When its latest run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// How its latest ended run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Termination>,
    /// How often it was started again.
    #[serde(default)]
    pub restarts: u32,
    /// Whether it has a terminal.
    #[serde(default)]
    pub tty: bool,
    /// Whether its standard input is kept open.
    #[serde(default)]
    pub stdin: bool,
}

/// A port of the host that leads to one of the Pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishedPort {
    /// Address of the host; empty: all.
    #[serde(default)]
    pub host_ip: String,
    /// Port of the host.
    pub host_port: u16,
    /// Port of the Pod.
    pub container_port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
}

/// What was made of the network for a Pod, enough to unmake it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkRecord {
    /// Path of the network namespace; empty: none was made.
    #[serde(default)]
    pub netns: String,
    /// The Pod's addresses.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// What is published.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
}

/// What the VM got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory of the guest in MiB.
    pub memory_mib: u64,
}

/// How a Pod came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// When.
    pub time: Timestamp,
    /// One word: `Completed`, `Error`, `Stopped`, `Killed`, `DeadlineExceeded`, `StartFailed`,
    /// `ShimKilled`, `SandboxDied`, `FollowerKilled`, `NodeRestarted`.
    pub reason: String,
    /// One line more, where there is something to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What `skete run` exited with, or would have.
    pub exit_code: u32,
}

/// One timed phase of the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    /// What was done.
    pub phase: String,
    /// How long it took, in nanoseconds.
    pub nanoseconds: u64,
}

/// What is known of a Pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodRecord {
    /// Version of this schema.
    pub schema: u32,
    /// The Pod's id, and its sandbox's.
    pub id: PodId,
    /// Kubernetes' uid.
    pub uid: String,
    /// Name, unique in this root.
    pub name: String,
    /// Namespace of the Pod file; `default` if it has none.
    pub namespace: String,
    /// When `skete run` made it.
    pub created: Timestamp,
    /// The host's boot it belongs to.
    pub boot_id: String,
    /// Labels of the Pod.
    #[serde(default)]
    pub labels: std::collections::BTreeMap<String, String>,
    /// The Pod as given, without the contents of ConfigMaps and Secrets.
    pub spec: serde_json::Value,
    /// Whether the record goes when the Pod ends by itself.
    #[serde(default)]
    pub remove: bool,
    /// What the VM gets.
    pub size: Size,
    /// What runs the guest's instructions: `kvm` or `emulation`; empty while it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub accelerator: String,
    /// Kubernetes' phase.
    pub phase: Phase,
    /// Init containers first, then the others, each in the Pod's order.
    pub containers: Vec<ContainerRecord>,
    /// Network of the Pod.
    #[serde(default)]
    pub network: NetworkRecord,
    /// When the VM was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// The follower's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follower_pid: Option<u32>,
    /// How it ended; absent while it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Phases of the start.
    #[serde(default)]
    pub timings: Vec<Timing>,
}

impl PodRecord {
    /// Reads a Pod's record; after a loss of power, the one that was written first.
    ///
    /// # Errors
    /// It cannot be read, is malformed, or is of a later schema.
    pub fn load(paths: &Paths, id: &PodId) -> Result<Self, RecordError> {
        match Self::load_file(&paths.pod_record(id)) {
            Err(error @ RecordError::Malformed { .. }) => {
                Self::load_file(&paths.first_record(id)).map_err(|_| error)
            }
            loaded => loaded,
        }
    }

    fn load_file(path: &Path) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        let bytes =
            files::read_bounded(path, MAX_RECORD_BYTES).map_err(|source| RecordError::Read {
                path: path.into(),
                source,
            })?;
        let malformed = |source| RecordError::Malformed {
            path: path.into(),
            source,
        };
        let Schema { schema } = serde_json::from_slice(&bytes).map_err(malformed)?;
        if schema > SCHEMA {
            return Err(RecordError::Newer {
                path: path.into(),
                found: schema,
            });
        }
        serde_json::from_slice(&bytes).map_err(malformed)
    }

    /// Writes the record, atomically; durably if the Pod has ended, for then it is not written
    /// again.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, paths: &Paths) -> Result<(), RecordError> {
        self.save_as(&paths.pod_record(&self.id), self.end.is_some())
    }

    /// Writes the record into a new Pod's directory, durably and twice.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save_first(&self, dir: &Path) -> Result<(), RecordError> {
        let path = dir.join("pod.json");
        let first = dir.join("created.json");
        self.save_as(&first, true)?;
        std::fs::hard_link(&first, &path).map_err(|source| RecordError::Write { path, source })
    }

    fn save_as(&self, path: &Path, durably: bool) -> Result<(), RecordError> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|source| RecordError::Malformed {
            path: path.into(),
            source,
        })?;
        let written = if durably {
            files::write_durably(path, &bytes, 0o600)
        } else {
            files::write_atomically(path, &bytes, 0o600)
        };
        written.map_err(|source| RecordError::Write {
            path: path.into(),
            source,
        })
    }

    /// The container of that name.
    pub fn container(&self, name: &str) -> Option<&ContainerRecord> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// The container that `logs`, `exec` and the exit code speak of when none is named: the first
    /// that is not an init container.
    pub fn main_container(&self) -> Option<&ContainerRecord> {
        self.containers
            .iter()
            .find(|c| !c.init)
            .or_else(|| self.containers.first())
    }

    /// Puts down the Pod's end. What has not ended until now is ended by this.
    pub fn put_down_end(&mut self, end: End) {
        for container in &mut self.containers {
            if container.state == ContainerPhase::Terminated {
                continue;
            }
            if container.state == ContainerPhase::Running || container.terminated.is_none() {
                let running = container.state == ContainerPhase::Running;
                container.terminated = Some(Termination {
                    exit_code: if running { 137 } else { end.exit_code },
                    reason: end.reason.clone(),
                    message: end.message.clone(),
                    started: if running { container.started } else { None },
                    finished: end.time,
                });
            }
            container.state = ContainerPhase::Terminated;
            container.waiting.clear();
            container.pid = None;
        }
        self.phase = if end.exit_code == 0 {
            Phase::Succeeded
        } else {
            Phase::Failed
        };
        self.end = Some(end);
    }
}

/// This boot of the host, as the kernel names it.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "record_test.rs"]
pub(crate) mod tests;
