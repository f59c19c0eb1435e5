//! A container's cgroup: what is in it, ending it, pausing it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use libcgroups::common::{CgroupConfig, CgroupManager as _, ControllerOpt, create_cgroup_manager};
use oci_spec::runtime::LinuxResources;
use rustix::process::{Pid, Signal, kill_process};

use crate::boot::CGROUP_PARENT;
use crate::failure::{Failure, Kind};
use crate::stats::flat_value;

/// A container can have made so many cgroups of its own before more are not looked at.
const MAX_CGROUPS: usize = 4096;
/// No more process ids are listed.
const MAX_PIDS: usize = 65536;
/// Processes have to stand still within this time.
const FREEZE_TIMEOUT: Duration = Duration::from_secs(10);

/// The cgroup of a container.
pub(crate) struct Cgroup {
    id: String,
    path: PathBuf,
}

impl Cgroup {
    /// That of the container with this id.
    pub(crate) fn of(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            path: Path::new(CGROUP_PARENT).join(id),
        }
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends every process in it.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match fs::write(self.path.join("cgroup.kill"), "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// Every process in it and below it.
    pub(crate) fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        let mut left = vec![self.path.clone()];
        let mut seen = 0;
        while let Some(directory) = left.pop() {
            let procs = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            // A zero is a process of another process-id namespace.
            pids.extend(
                procs
                    .lines()
                    .filter_map(|line| line.parse().ok())
                    .filter(|pid: &i32| *pid > 0),
            );
            seen += 1;
            if seen >= MAX_CGROUPS || pids.len() >= MAX_PIDS {
                break;
            }
            let Ok(entries) = fs::read_dir(&directory) else {
                continue;
            };
            let children = entries
                .flatten()
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            left.extend(children.map(|entry| entry.path()));
        }
        pids.truncate(MAX_PIDS);
        pids
    }

    /// Sends a signal to every process in it.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        if signal == Signal::KILL {
            return self.kill();
        }
        for pid in self.pids().into_iter().filter_map(Pid::from_raw) {
            // It may have ended meanwhile.
            let _ = kill_process(pid, signal);
        }
        Ok(())
    }

    /// How often the out-of-memory killer took a process of it.
    pub(crate) fn oom_kills(&self) -> u64 {
        let events = fs::read_to_string(self.path.join("memory.events")).unwrap_or_default();
        flat_value(&events, "oom_kill")
    }

    /// Stops or continues its processes and waits until they stand still or run.
    pub(crate) async fn freeze(&self, frozen: bool) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            let what = if frozen { "pause" } else { "resume" };
            Failure::new(
                Kind::Internal,
                format!("cannot {what} the container: {error}"),
            )
        };
        let value = if frozen { "1" } else { "0" };
        fs::write(self.path.join("cgroup.freeze"), value).map_err(failed)?;
        let start = Instant::now();
        loop {
            let events = fs::read_to_string(self.path.join("cgroup.events")).map_err(failed)?;
            if flat_value(&events, "frozen") == u64::from(frozen) {
                return Ok(());
            }
            if start.elapsed() > FREEZE_TIMEOUT {
                let _ = fs::write(self.path.join("cgroup.freeze"), "0");
                return Err(Failure::new(
                    Kind::DeadlineExceeded,
                    format!("not done after {} s", FREEZE_TIMEOUT.as_secs()),
                ));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether its processes stand still.
    pub(crate) fn is_frozen(&self) -> bool {
        let events = fs::read_to_string(self.path.join("cgroup.events")).unwrap_or_default();
        flat_value(&events, "frozen") == 1
    }

    /// Sets new limits: an OCI `linux.resources` object.
    pub(crate) fn update(&self, resources: &[u8]) -> Result<(), Failure> {
        let resources: LinuxResources = serde_json::from_slice(resources).map_err(|error| {
            Failure::new(
                Kind::InvalidArgument,
                format!("the resources cannot be read: {error}"),
            )
        })?;
        let config = CgroupConfig {
            cgroup_path: Path::new("/skete").join(&self.id),
            systemd_cgroup: false,
            container_name: self.id.clone(),
        };
        let manager = create_cgroup_manager(config).map_err(|error| Failure::internal(&error))?;
        let options = ControllerOpt {
            resources: &resources,
            disable_oom_killer: false,
            oom_score_adj: None,
            freezer_state: None,
        };
        manager
            .apply(&options)
            .map_err(|error| Failure::internal(&error))
    }
}
