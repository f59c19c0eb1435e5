//! The Pod's cgroup: everything of a Pod on the host (shim, monitor, vsock device) lives in it
//! and cannot exceed it. cgroup v2 first, v1 where the node has only that.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::process::{Pid, Signal, kill_process};

/// How long [`PodCgroup::kill`] waits for killed processes to be gone.
const KILL_DEADLINE: Duration = Duration::from_secs(4);
/// The v1 hierarchies that a Pod is put into, where the node has them.
const V1_CONTROLLERS: [&str; 5] = ["memory", "cpu", "cpuacct", "pids", "freezer"];
/// The v2 controllers that a Pod's cgroup needs.
const V2_CONTROLLERS: &str = "+memory +cpu +pids";

/// What the Pod may use of the host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes; 0: none.
    pub memory_bytes: u64,
    /// Microseconds of CPU time per [`Limits::cpu_period_us`]; 0: none.
    pub cpu_quota_us: u64,
    /// Microseconds; 0: 100 ms.
    pub cpu_period_us: u64,
    /// Processes and threads; 0: none.
    pub pids: u64,
}

/// What the Pod has used, as the host counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostUsage {
    /// CPU time of all processes, in nanoseconds.
    pub cpu_ns: u64,
    /// Bytes in use now, page cache included.
    pub memory_bytes: u64,
    /// The most bytes that were in use.
    pub memory_peak_bytes: u64,
}

/// Why a cgroup could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Neither a v2 hierarchy with controllers nor a v1 memory hierarchy is mounted.
    #[error("no cgroup hierarchy with a memory controller is mounted")]
    NoHierarchy,
    /// A file or directory of the cgroup.
    #[error("{action} {path}")]
    Io {
        /// `create`, `write`, `read` or `remove`.
        action: &'static str,
        /// Of the cgroup file system.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Processes that SIGKILL did not end in time.
    #[error("processes {pids:?} of {path} did not end after SIGKILL")]
    StillAlive {
        /// The cgroup.
        path: PathBuf,
        /// Its processes.
        pids: Vec<i32>,
    },
}

/// Which hierarchies the node has.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hierarchies {
    V2(PathBuf),
    /// Controller and mount point.
    V1(Vec<(&'static str, PathBuf)>),
}

/// One Pod's cgroup.
#[derive(Debug, Clone)]
pub struct PodCgroup {
    hierarchies: Hierarchies,
    path: String,
}

impl PodCgroup {
    /// The cgroup of that path below the root of every hierarchy. Makes nothing.
    ///
    /// # Errors
    /// If the node has no hierarchy to put a Pod into.
    pub fn new(path: &str) -> Result<Self, CgroupError> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let hierarchies = find_hierarchies(&mounts, |root| {
            fs::read_to_string(root.join("cgroup.controllers"))
                .is_ok_and(|controllers| controllers.split_whitespace().any(|c| c == "memory"))
        })
        .ok_or(CgroupError::NoHierarchy)?;
        Ok(Self {
            hierarchies,
            path: path.trim_matches('/').to_owned(),
        })
    }

    /// Below the root of its hierarchies.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Makes it, where it is not there yet, and sets its limits.
    ///
    /// # Errors
    /// If the kernel refuses a directory or a limit.
    pub fn create(&self, limits: &Limits) -> Result<(), CgroupError> {
        if let Hierarchies::V2(root) = &self.hierarchies {
            let mut dir = root.clone();
            for component in Path::new(&self.path) {
                let control = dir.join("cgroup.subtree_control");
                write(&control, V2_CONTROLLERS)?;
                dir.push(component);
                create_dir(&dir)?;
            }
        }
        for dir in self.dirs() {
            create_dir(&dir)?;
        }
        self.set(limits)
    }

    /// Sets its limits anew.
    ///
    /// # Errors
    /// If the kernel refuses one.
    pub fn set(&self, limits: &Limits) -> Result<(), CgroupError> {
        for (file, value) in self.limit_files(limits) {
            write(&file, &value)?;
        }
        Ok(())
    }

    /// Moves this process, all its threads, into the cgroup; its future children start there.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn join(&self) -> Result<(), CgroupError> {
        self.dirs()
            .iter()
            .try_for_each(|dir| write(&dir.join("cgroup.procs"), "0"))
    }

    /// Moves this process back to the roots, so that the cgroup can be removed.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn leave(&self) -> Result<(), CgroupError> {
        self.roots()
            .iter()
            .try_for_each(|root| write(&root.join("cgroup.procs"), "0"))
    }

    /// Kills every process in it and waits until they are gone. Fine if there is no such cgroup.
    ///
    /// # Errors
    /// If a process is still there after four seconds (it hangs in the kernel).
    pub fn kill(&self) -> Result<(), CgroupError> {
        let deadline = Instant::now() + KILL_DEADLINE;
        loop {
            let pids = self.processes();
            if pids.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let path = self.dirs().swap_remove(0);
                return Err(CgroupError::StillAlive { path, pids });
            }
            for pid in pids.into_iter().filter_map(Pid::from_raw) {
                // It may have ended since it was listed.
                let _ = kill_process(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Removes it. Fine if it is gone.
    ///
    /// # Errors
    /// If processes are left in it.
    pub fn remove(&self) -> Result<(), CgroupError> {
        for dir in self.dirs() {
            // v1 counts a dead process in for a moment after it was reaped.
            let mut tries = 100;
            while let Err(source) = fs::remove_dir(&dir) {
                match source.kind() {
                    io::ErrorKind::NotFound => break,
                    io::ErrorKind::ResourceBusy if tries > 0 => {
                        tries -= 1;
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    _ => {
                        return Err(CgroupError::Io {
                            action: "remove",
                            path: dir,
                            source,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// The processes in it, in the host's numbering.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let mut pids: Vec<i32> = self
            .dirs()
            .iter()
            .filter_map(|dir| fs::read_to_string(dir.join("cgroup.procs")).ok())
            .flat_map(|text| {
                text.lines()
                    .filter_map(|line| line.parse().ok())
                    .collect::<Vec<_>>()
            })
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// What it has used so far. What the node does not count is zero.
    #[must_use]
    pub fn usage(&self) -> HostUsage {
        match &self.hierarchies {
            Hierarchies::V2(root) => {
                let dir = root.join(&self.path);
                HostUsage {
                    cpu_ns: self.cpu_ns(),
                    memory_bytes: read_number(&dir.join("memory.current")),
                    memory_peak_bytes: read_number(&dir.join("memory.peak")),
                }
            }
            Hierarchies::V1(_) => {
                let number = |controller, file| {
                    self.v1_dir(controller)
                        .map_or(0, |dir| read_number(&dir.join(file)))
                };
                HostUsage {
                    cpu_ns: self.cpu_ns(),
                    memory_bytes: number("memory", "memory.usage_in_bytes"),
                    memory_peak_bytes: number("memory", "memory.max_usage_in_bytes"),
                }
            }
        }
    }

    /// The CPU time of all its processes so far, in nanoseconds; zero if the node does not count.
    #[must_use]
    pub fn cpu_ns(&self) -> u64 {
        match &self.hierarchies {
            Hierarchies::V2(root) => {
                let stat = fs::read_to_string(root.join(&self.path).join("cpu.stat"));
                let stat = stat.unwrap_or_default();
                let usage = |line: &str| line.strip_prefix("usage_usec ")?.parse::<u64>().ok();
                let cpu_us = stat.lines().find_map(usage);
                cpu_us.unwrap_or(0).saturating_mul(1000)
            }
            Hierarchies::V1(_) => self
                .v1_dir("cpuacct")
                .map_or(0, |dir| read_number(&dir.join("cpuacct.usage"))),
        }
    }

    /// The memory that the cgroups above allow, in bytes: under Kubernetes what the Pod's limits
    /// and its RuntimeClass's overhead come to. None if they allow any.
    #[must_use]
    pub fn room_bytes(&self) -> Option<u64> {
        let (root, file) = match &self.hierarchies {
            Hierarchies::V2(root) => (root.as_path(), "memory.max"),
            Hierarchies::V1(_) => (self.v1_root("memory")?, "memory.limit_in_bytes"),
        };
        let above = Path::new(&self.path).ancestors().skip(1);
        above
            .map(|path| read_number(&root.join(path).join(file)))
            // v1 has a number of almost 64 bits for no limit, v2 a word.
            .filter(|bytes| (1..1 << 62).contains(bytes))
            .min()
    }

    fn roots(&self) -> Vec<PathBuf> {
        match &self.hierarchies {
            Hierarchies::V2(root) => vec![root.clone()],
            Hierarchies::V1(all) => all.iter().map(|(_, root)| root.clone()).collect(),
        }
    }

    fn dirs(&self) -> Vec<PathBuf> {
        self.roots()
            .iter()
            .map(|root| root.join(&self.path))
            .collect()
    }

    fn v1_root(&self, controller: &str) -> Option<&Path> {
        let Hierarchies::V1(all) = &self.hierarchies else {
            return None;
        };
        let (_, root) = all.iter().find(|(name, _)| *name == controller)?;
        Some(root)
    }

    fn v1_dir(&self, controller: &str) -> Option<PathBuf> {
        Some(self.v1_root(controller)?.join(&self.path))
    }

    fn limit_files(&self, limits: &Limits) -> Vec<(PathBuf, String)> {
        let period = if limits.cpu_period_us == 0 {
            100_000
        } else {
            limits.cpu_period_us
        };
        let mut files = Vec::new();
        match &self.hierarchies {
            Hierarchies::V2(root) => {
                let dir = root.join(&self.path);
                if limits.memory_bytes > 0 {
                    files.push((dir.join("memory.max"), limits.memory_bytes.to_string()));
                    // Guest memory in a host's swap is neither fast nor safe. Without swap
                    // accounting the file is not there, and neither is anything to forbid.
                    let swap = dir.join("memory.swap.max");
                    if swap.exists() {
                        files.push((swap, "0".to_owned()));
                    }
                }
                let quota = match limits.cpu_quota_us {
                    0 => "max".to_owned(),
                    quota => quota.to_string(),
                };
                files.push((dir.join("cpu.max"), format!("{quota} {period}")));
                if limits.pids > 0 {
                    files.push((dir.join("pids.max"), limits.pids.to_string()));
                }
            }
            Hierarchies::V1(_) => {
                let mut push = |controller, file, value: Option<String>| {
                    if let (Some(dir), Some(value)) = (self.v1_dir(controller), value) {
                        files.push((dir.join(file), value));
                    }
                };
                let some = |value: u64| (value > 0).then(|| value.to_string());
                let quota = some(limits.cpu_quota_us).or_else(|| Some("-1".to_owned()));
                let memory = some(limits.memory_bytes);
                push("memory", "memory.limit_in_bytes", memory);
                push("cpu", "cpu.cfs_period_us", some(period));
                push("cpu", "cpu.cfs_quota_us", quota);
                push("pids", "pids.max", some(limits.pids));
            }
        }
        files
    }
}

/// Finds the hierarchies in `/proc/self/mounts`: v2 if its root has the memory controller.
fn find_hierarchies(mounts: &str, has_memory: impl Fn(&Path) -> bool) -> Option<Hierarchies> {
    let entries = || {
        mounts.lines().filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((Path::new(words.next()?), words.next()?, words.next()?))
        })
    };
    if let Some((root, ..)) =
        entries().find(|(root, kind, _)| *kind == "cgroup2" && has_memory(root))
    {
        return Some(Hierarchies::V2(root.to_owned()));
    }
    let v1: Vec<_> = V1_CONTROLLERS
        .iter()
        .filter_map(|controller| {
            let (root, ..) = entries().find(|(_, kind, options)| {
                *kind == "cgroup" && options.split(',').any(|option| option == *controller)
            })?;
            Some((*controller, root.to_owned()))
        })
        .collect();
    v1.iter()
        .any(|(controller, _)| *controller == "memory")
        .then_some(Hierarchies::V1(v1))
}

fn create_dir(dir: &Path) -> Result<(), CgroupError> {
    fs::create_dir_all(dir).map_err(|source| CgroupError::Io {
        action: "create",
        path: dir.to_owned(),
        source,
    })
}

fn write(file: &Path, value: &str) -> Result<(), CgroupError> {
    fs::write(file, value).map_err(|source| CgroupError::Io {
        action: "write",
        path: file.to_owned(),
        source,
    })
}

fn read_number(file: &Path) -> u64 {
    fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
#[path = "cgroup_test.rs"]
mod tests;
