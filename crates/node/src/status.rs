//! How a node is: its Pods in VMs, what they use of it, part by part, and what is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;
use skete_cri_api::OWN_NAMESPACE;
use skete_sandbox::agent::Agent;
use skete_sandbox::cgroup::PodCgroup;
use skete_sandbox::description::Description;
use skete_sandbox::layout::{Layout, Roots};

use crate::containerd::{self, Containerd};
use crate::memory::{self, Part};
use crate::program;
use crate::record::Record;
use crate::versions::{SHIM, Versions};

/// How long a guest may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How long a sandbox may take to start before its silence is told as a problem.
const START: Duration = Duration::from_secs(120);
/// Guests that are asked at a time.
const AT_ONCE: usize = 16;

/// What containerd has to have running, and what it wants if it has not.
const PLUGINS: [(&str, &str); 3] = [
    (
        "io.containerd.snapshotter.v1 erofs",
        "load the kernel's module erofs",
    ),
    (
        "io.containerd.differ.v1 erofs",
        "put Skete's libexec directory first on its PATH",
    ),
    (
        "io.containerd.service.v1 diff-service",
        "put Skete's libexec directory first on its PATH",
    ),
];

/// Where to look.
#[derive(Debug, Clone)]
pub struct Look {
    /// The engine's directory for what does not outlive a reboot.
    pub run_root: PathBuf,
    /// Its directory for what does.
    pub state_root: PathBuf,
    /// Where the runtime is installed.
    pub prefix: PathBuf,
    /// containerd's program; the one on `PATH` if there is none.
    pub containerd: Option<PathBuf>,
}

/// A node.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// What is installed for containerd.
    pub installation: Option<Installation>,
    /// Pods, those of `skete run` too.
    pub pods: Vec<Pod>,
    /// Bytes in use on the host by all Pods, by part.
    pub memory: BTreeMap<Part, u64>,
    /// What is wrong with the node, a line each, with the cure.
    pub problems: Vec<String>,
}

/// What is installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Installation {
    /// Where.
    pub prefix: PathBuf,
    /// The version for new Pods.
    pub version: String,
    /// RuntimeClasses name the runtime so.
    pub handlers: Vec<String>,
}

/// Where a Pod stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum State {
    /// Its guest answers.
    Running,
    /// Its guest does not answer yet.
    Starting,
    /// Its VM has ended, and its shim waits to be told to go.
    Ended,
    /// Its guest should answer and does not.
    Unresponsive,
    /// Nothing of it runs, and something is left of it.
    Dead,
}

/// One Pod.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// The sandbox's id.
    pub id: String,
    /// containerd's namespace: `k8s.io` for Pods of the kubelet.
    pub containerd_namespace: String,
    /// Which Pod, and how large its VM.
    #[serde(flatten)]
    pub description: Description,
    /// Where it stands.
    pub state: State,
    /// Seconds since it was made.
    pub age_seconds: u64,
    /// CPU time that it has used of the host, in seconds.
    pub cpu_seconds: f64,
    /// Bytes in use of the host, by part.
    pub memory: BTreeMap<Part, u64>,
    /// What is wrong with it, a line each.
    pub problems: Vec<String>,
}

impl Pod {
    /// `NAMESPACE/NAME`, or the sandbox's id if nothing is known of the Pod.
    #[must_use]
    pub fn name(&self) -> String {
        match self.description.name.as_str() {
            "" => self.id.clone(),
            name => format!("{}/{name}", self.description.namespace),
        }
    }

    /// Whether the kubelet, or another client of containerd, has made it.
    #[must_use]
    pub fn is_containerds(&self) -> bool {
        self.containerd_namespace != OWN_NAMESPACE
    }
}

impl Look {
    /// Looks at everything.
    ///
    /// # Errors
    /// No descriptor is left to look with.
    pub fn status(&self) -> io::Result<Status> {
        let mut status = Status {
            pods: self.pods()?,
            ..Status::default()
        };
        for (part, bytes) in status.pods.iter().flat_map(|pod| &pod.memory) {
            *status.memory.entry(*part).or_default() += bytes;
        }
        self.look_at_node(&mut status);
        Ok(status)
    }

    /// The Pods alone.
    ///
    /// # Errors
    /// No descriptor is left to look with.
    pub fn pods(&self) -> io::Result<Vec<Pod>> {
        let roots = Roots {
            run: self.run_root.clone(),
            state: self.state_root.clone(),
        };
        let mut pods = program::runtime()?.block_on(async {
            let mut pods = Vec::new();
            for some in roots.layouts().chunks(AT_ONCE) {
                let mut looks = tokio::task::JoinSet::new();
                for (namespace, layout) in some.iter().cloned() {
                    looks.spawn(async move { look_at(namespace, &layout).await });
                }
                pods.extend(looks.join_all().await);
            }
            pods
        });
        pods.sort_by_key(|pod: &Pod| (pod.name(), pod.id.clone()));
        Ok(pods)
    }

    fn look_at_node(&self, status: &mut Status) {
        let problems = &mut status.problems;
        let record = match Record::load(&self.prefix) {
            Ok(Some(record)) => record,
            Ok(None) => {
                problems.push(format!(
                    "nothing is installed in {}: run `skete node install`, or say where with \
                     --prefix",
                    self.prefix.display()
                ));
                return;
            }
            Err(error) => return problems.push(line(&error)),
        };
        let versions = Versions::below(&self.prefix);
        match versions.current_name() {
            Some(version) => {
                status.installation = Some(Installation {
                    prefix: self.prefix.clone(),
                    version,
                    handlers: record.handlers.clone(),
                });
            }
            None => problems.push(format!(
                "{} is gone: run `skete node install` again",
                versions.current().display()
            )),
        }
        let shim = versions.current().join(SHIM);
        if let Err(error) = check_containerd(self.containerd.as_deref(), &record, &shim, problems) {
            problems.push(line(&error));
        }
    }
}

async fn look_at(containerd_namespace: String, layout: &Layout) -> Pod {
    let cgroup = fs::read_to_string(layout.cgroup_file())
        .ok()
        .and_then(|path| PodCgroup::new(&path).ok());
    let parts = cgroup
        .as_ref()
        .map(|cgroup| memory::parts(&cgroup.processes()));
    let parts = parts.unwrap_or_default();
    let usage = cgroup.map(|cgroup| cgroup.usage()).unwrap_or_default();
    let age = age_of(layout);
    let has = |part| parts.contains_key(&part);
    let state = match (has(Part::Shim), has(Part::Monitor)) {
        (_, true) => match Agent::connect(&layout.vsock(), ANSWER).await {
            Ok(_) => State::Running,
            Err(_) if age < START => State::Starting,
            Err(_) => State::Unresponsive,
        },
        (true, false) if age < START => State::Starting,
        (true, false) => State::Ended,
        (false, false) => State::Dead,
    };
    let mut problems = Vec::new();
    match state {
        State::Unresponsive => problems.push(format!(
            "its guest does not answer: see {}, and delete the Pod if it stays so",
            layout.console_log().display()
        )),
        State::Dead => problems.push(format!(
            "nothing of it runs, and {} is left: restart containerd, which cleans up after shims \
             that were killed",
            layout.run().display()
        )),
        State::Running | State::Starting | State::Ended => {}
    }
    if has(Part::Monitor) && !has(Part::Shim) {
        problems.push("its shim is gone, and its VM runs on: delete the Pod".to_owned());
    }
    Pod {
        id: layout.id().to_owned(),
        containerd_namespace,
        description: Description::read(layout).unwrap_or_default(),
        state,
        age_seconds: age.as_secs(),
        cpu_seconds: usage.cpu_ns as f64 / 1e9,
        memory: memory::with_rest(parts, usage.memory_bytes),
        problems,
    }
}

/// Since its directory was made: nothing in it is renamed or removed before its end.
fn age_of(layout: &Layout) -> Duration {
    let made = fs::metadata(layout.cgroup_file()).and_then(|file| file.modified());
    let age = made.map(|made| SystemTime::now().duration_since(made).unwrap_or_default());
    age.unwrap_or_default()
}

/// Whether the containerd that runs has what the record says.
fn check_containerd(
    program: Option<&Path>,
    record: &Record,
    shim: &Path,
    problems: &mut Vec<String>,
) -> Result<(), containerd::Error> {
    let containerd = Containerd::find(program, &record.containerd_config)?;
    let effective = containerd.effective()?;
    for handler in &record.handlers {
        if effective.runtime_type(handler).map(Path::new) != Some(shim) {
            problems.push(format!(
                "containerd's configuration has no runtime {handler} with {}: run `skete node \
                 install` again",
                shim.display()
            ));
        }
    }
    let plugins = containerd.plugins(effective.address())?;
    for (plugin, cure) in PLUGINS {
        let state = plugins.iter().find(|(name, _)| name == plugin);
        match state.map(|(_, state)| state.as_str()) {
            Some("ok") => {}
            Some(state) => problems.push(format!(
                "containerd's {plugin} is in state {state}: {cure}, and restart containerd"
            )),
            None => problems.push(format!(
                "containerd has no {plugin}: take it out of disabled_plugins"
            )),
        }
    }
    Ok(())
}

/// An error and its sources in one line.
fn line(error: &dyn std::error::Error) -> String {
    let levels = std::iter::successors(Some(error), |error| error.source());
    let mut levels: Vec<String> = levels.map(ToString::to_string).collect();
    // A transparent error has its source's words.
    levels.dedup();
    levels.join(": ")
}

#[cfg(test)]
#[path = "status_test.rs"]
mod tests;
