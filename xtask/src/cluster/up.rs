//! Starts a cluster, or what is missing of it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::parts::{self, Need, Part};
use super::process::{POLL, Process, last_lines, start};
use super::{Cluster, Set, config, images, must_be_root, node, pki, programs};
use crate::command::{Failure, output};
use crate::packages;

/// How long the API server and the node have to be ready; a loaded machine takes a while.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long a part has to end when it is asked to.
pub(super) const GRACE: Duration = Duration::from_secs(15);
/// A file that says that a directory is a cluster's, and may be removed.
pub(super) const MARK: &str = ".skete-cluster";
/// Moves itself into the cgroups before `--`, and becomes the program behind it.
const JOIN: &str = "while [ \"$1\" != -- ]; do echo 0 > \"$1/cgroup.procs\" || exit 1; shift; \
                    done; shift; exec setsid \"$@\"";

/// Builds what is missing, starts what does not run, and waits until the node is Ready.
pub(crate) fn up(cluster: &Cluster) -> Result<(), Failure> {
    must_be_root()?;
    packages::ensure(&[packages::RUN, packages::CLUSTER])?;
    let programs: Vec<_> = programs::NODE.iter().collect();
    programs::build(&programs)?;
    let _lock = cluster.lock()?;
    make_dirs(cluster)?;
    node::note_settings()?;
    node::make_namespace(cluster)?;
    pki::make(cluster)?;
    config::write(cluster)?;
    let parts = parts::all(cluster)?;
    let starter = Starter::new(cluster, &parts)?;
    starter.start_all()?;
    for service in config::SERVICES {
        cluster.apply(service)?;
    }
    images::push(cluster, Set::Small)?;
    starter.wait_for_node()?;
    let kubeconfig = cluster.kubeconfig();
    println!("KUBECONFIG={}", kubeconfig.display());
    eprintln!(
        "xtask: {} is Ready; it can be reached in its network namespace only: \
         `cargo xtask cluster kubectl …` or `nsenter --net={} …`",
        cluster.node(),
        cluster.namespace().display()
    );
    Ok(())
}

/// Ends parts of a running cluster, in order or as a crash does, and starts them.
pub(crate) fn restart(cluster: &Cluster, names: &[&str], crash: bool) -> Result<(), Failure> {
    cluster.must_be_up()?;
    let _lock = cluster.lock()?;
    let parts = parts::all(cluster)?;
    if let Some(name) = names
        .iter()
        .find(|name| parts.iter().all(|part| part.name != **name))
    {
        return Err(Failure::new(format!(
            "the cluster has no part `{name}`: see `cargo xtask cluster status`"
        )));
    }
    for part in parts.iter().filter(|part| names.contains(&part.name)) {
        if let Some(process) = Process::recorded(&cluster.pid_file(part.name)) {
            if crash {
                process.kill();
            }
            process.end(GRACE)?;
        }
    }
    let starter = Starter::new(cluster, &parts)?;
    starter.start_all()?;
    starter.wait_for_node()
}

fn make_dirs(cluster: &Cluster) -> Result<(), Failure> {
    let dir = cluster.dir();
    let mark = dir.join(MARK);
    let taken = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if taken && !mark.exists() {
        return Err(Failure::new(format!(
            "{} is there and is no cluster's: choose another --dir, or remove it",
            dir.display()
        )));
    }
    if let Ok(run_dir) = fs::read_to_string(cluster.run_dir().join("dir"))
        && Path::new(&run_dir) != dir
    {
        return Err(Failure::new(format!(
            "the cluster {} is in {run_dir}: give that --dir, or another --name",
            cluster.name
        )));
    }
    let made = (|| {
        fs::create_dir_all(dir)?;
        fs::write(&mark, "")?;
        fs::create_dir_all(cluster.run_dir().join("pids"))?;
        fs::write(
            cluster.run_dir().join("dir"),
            dir.as_os_str().as_encoded_bytes(),
        )
    })();
    made.map_err(|error| Failure::io(format!("make {}", dir.display()), &error))
}

struct Starter<'a> {
    cluster: &'a Cluster,
    parts: &'a [Part],
    cgroups: Vec<PathBuf>,
    /// The PATH of all parts: first what a test adds to the node, last Debian's own programs.
    path: std::ffi::OsString,
}

impl<'a> Starter<'a> {
    fn new(cluster: &'a Cluster, parts: &'a [Part]) -> Result<Self, Failure> {
        let mut path = vec![cluster.dir().join("opt/bin")];
        path.extend(programs::dirs()?);
        path.extend(
            [
                "/usr/local/sbin",
                "/usr/local/bin",
                "/usr/sbin",
                "/usr/bin",
                "/sbin",
                "/bin",
            ]
            .map(PathBuf::from),
        );
        Ok(Self {
            cluster,
            parts,
            cgroups: node::make_cgroup(cluster)?,
            path: std::env::join_paths(path).map_err(Failure::chain)?,
        })
    }

    /// Starts those that do not run, and those that would now be started in another way.
    fn start_all(&self) -> Result<(), Failure> {
        for need in [Need::Nothing, Need::ApiServer] {
            for part in self.parts.iter().filter(|part| part.after == need) {
                self.start(part)?;
            }
            if need == Need::Nothing {
                self.wait("the API server does not answer", || {
                    Ok(self.cluster.ask(&["get", "--raw", "/readyz"])?.is_some())
                })?;
            }
        }
        Ok(())
    }

    fn start(&self, part: &Part) -> Result<(), Failure> {
        let pid_file = self.cluster.pid_file(part.name);
        let way_file = pid_file.with_extension("way");
        let way = way(part);
        if let Some(process) = Process::recorded(&pid_file).filter(Process::lives) {
            if fs::read_to_string(&way_file).is_ok_and(|old| old == way) {
                return Ok(());
            }
            process.end(GRACE)?;
        }
        if part.name == "kube-proxy" {
            // It takes an endpoint's chain that an earlier one has left for good without looking
            // inside; one that was emptied there would stay so.
            for family in ["ip", "ip6"] {
                let mut nft = self.cluster.enter("nft");
                let _ = output(
                    nft.args(["delete", "table", family, "kube-proxy"])
                        .stderr(Stdio::null()),
                );
            }
        }
        let mut command = self.cluster.enter("sh");
        command
            .args(["-c", JOIN, "sh"])
            .args(&self.cgroups)
            .arg("--")
            .arg(&part.program)
            .args(&part.arguments);
        self.environment(&mut command)?;
        let process = start(&mut command, &self.cluster.log(part.name))?;
        process.record(&pid_file)?;
        fs::write(&way_file, way).map_err(|error| Failure::io(way_file.display(), &error))
    }

    /// Nothing of whoever typed `up`: what is in the file `etc/containerd/environment`, too.
    fn environment(&self, command: &mut Command) -> Result<(), Failure> {
        let dir = self.cluster.dir();
        command
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", dir)
            .env("SKETE_ROOT", dir.join("skete"))
            .env("SKETE_RUN_ROOT", self.cluster.run_dir());
        let file = dir.join("etc/containerd/environment");
        let Ok(text) = fs::read_to_string(&file) else {
            return Ok(());
        };
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = line.split_once('=').ok_or_else(|| {
                Failure::new(format!("{}: `{line}` is not NAME=VALUE", file.display()))
            })?;
            command.env(name, value);
        }
        Ok(())
    }

    /// Waits until the node is Ready.
    fn wait_for_node(&self) -> Result<(), Failure> {
        let node = self.cluster.node();
        let socket = self.cluster.run_dir().join("containerd.sock");
        let healthy = format!("/api/v1/nodes/{node}/proxy/healthz");
        let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        self.wait("the node is not Ready", || {
            let mut ctr = Command::new(programs::path("ctr")?);
            let ctr = ctr.arg("--address").arg(&socket).arg("version");
            // Ready may be what the kubelet said before it or containerd was killed.
            Ok(output(ctr.stderr(Stdio::null())).is_some()
                && self.cluster.ask(&["get", "--raw", &healthy])?.is_some()
                && self
                    .cluster
                    .ask(&["get", "node", &node, "-o", path])?
                    .as_deref()
                    == Some("True")
                // Without it no Pod is taken; it comes a moment after the first namespaces.
                && self.cluster.ask(&["get", "serviceaccount", "default"])?.is_some())
        })
    }

    /// Waits until `ready`, or until a part has ended.
    fn wait(
        &self,
        otherwise: &str,
        mut ready: impl FnMut() -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while !ready()? {
            for part in self.parts {
                let process = Process::recorded(&self.cluster.pid_file(part.name));
                if process.is_some_and(|process| !process.lives()) {
                    let log = self.cluster.log(part.name);
                    return Err(Failure::new(format!(
                        "{} has ended; its last lines, from {}:\n{}",
                        part.name,
                        log.display(),
                        last_lines(&log, 8)
                    )));
                }
            }
            if Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "{otherwise} after {} s: see the logs in {}; `cargo xtask cluster down` \
                     removes what is there",
                    PATIENCE.as_secs(),
                    self.cluster.dir().join("log").display()
                )));
            }
            sleep(POLL * 3);
        }
        Ok(())
    }
}

/// Names all that decides how a part runs: if it changes, `up` starts the part anew.
fn way(part: &Part) -> String {
    let mut hasher = DefaultHasher::new();
    (&part.program, &part.arguments).hash(&mut hasher);
    for file in &part.config {
        fs::read(file).unwrap_or_default().hash(&mut hasher);
    }
    format!("{:x}", hasher.finish())
}
