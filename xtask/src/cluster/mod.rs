//! A real one-node Kubernetes on this machine, for people and for tests: `cargo xtask cluster`.
//!
//! All of it is in one network namespace, one cgroup and two directories, whose names follow from
//! the cluster's name alone: what is left of it after a crash is found without a record.

mod config;
mod down;
mod images;
mod layers;
mod node;
mod parts;
mod pki;
mod process;
mod programs;
mod skete;
mod up;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Failure, cargo, output, run};

pub(crate) use programs::path as program;
pub(crate) use skete::install as install_skete;
pub(crate) use up::up;

use images::Set;

/// The runtime that containerd has from the start.
pub(crate) const RUNC: &str = "runc";
/// Below it, what does not outlive the machine's next start.
const RUNS: &str = "/run";
/// Below it, the directories of clusters that were not told where to be.
const STATE: &str = "/var/lib/skete-cluster";
/// A Unix socket's path has room for no more, with a sandbox's identity and file behind it.
const MAX_NAME: usize = 8;

/// What `cargo xtask cluster` can do.
pub(crate) const HELP: &str = "\
usage: cargo xtask cluster [--name NAME] [--dir DIR] COMMAND

  up                 build what is missing, start what does not run, wait until the node is Ready
  down               end and remove all of it
  status             say what runs, and where its log is
  kubectl ARGS …     run kubectl against it
  run COMMAND …      run a command in its network namespace, KUBECONFIG set
  restart PART …     end and start anew parts of it, as `status` names them; kill them (--kill)
  skete              build Skete, and install it on the node
  test [FILTER]      bring it up with Skete, and pass the tests of Pods on a real node
  images             give its registry the images of Kubernetes' own tests, too

A cluster's name (node1) has at most 8 letters and digits; several can be up. Its data and logs are
in DIR (/var/lib/skete-cluster/NAME), its sockets in /run/skete-NAME.";

/// One cluster.
#[derive(Clone)]
pub(crate) struct Cluster {
    name: String,
    dir: PathBuf,
}

impl Cluster {
    /// The cluster of that name.
    pub(crate) fn new(name: &str, dir: Option<&str>) -> Result<Self, Failure> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
            return Err(Failure::new(format!(
                "`{name}` cannot be a cluster's name: choose 1 to {MAX_NAME} small letters and \
                 digits"
            )));
        }
        let dir = match dir {
            None => Path::new(STATE).join(name),
            Some(dir) => std::path::absolute(dir).map_err(|error| Failure::io(dir, &error))?,
        };
        // It goes into configuration files of four formats.
        let printable = |c: char| c.is_ascii_alphanumeric() || "/-_.".contains(c);
        if dir.as_os_str().len() > 60 || !dir.to_string_lossy().chars().all(printable) {
            return Err(Failure::new(format!(
                "--dir {}: choose a path of at most 60 letters, digits and /-_.",
                dir.display()
            )));
        }
        let name = name.to_owned();
        Ok(Self { name, dir })
    }

    /// The name of its node, its network namespace and its cgroup.
    pub(crate) fn node(&self) -> String {
        format!("skete-{}", self.name)
    }

    /// Configuration, data and logs.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Sockets, process numbers, and what else does not outlive the machine's next start; Skete's
    /// run root, too.
    pub(crate) fn run_dir(&self) -> PathBuf {
        Path::new(RUNS).join(self.node())
    }

    fn namespace(&self) -> PathBuf {
        Path::new("/run/netns").join(self.node())
    }

    fn log(&self, part: &str) -> PathBuf {
        self.dir.join("log").join(format!("{part}.log"))
    }

    fn pid_file(&self, part: &str) -> PathBuf {
        self.run_dir().join("pids").join(part)
    }

    /// The configuration of who may do everything.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("etc/kubernetes/admin.conf")
    }

    /// A program to run in its network namespace.
    ///
    /// `ip netns exec` would mount another /sys, in which the cgroups are missing.
    pub(crate) fn enter(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        let mut net = std::ffi::OsString::from("--net=");
        net.push(self.namespace());
        command
            .arg(net)
            .arg("--")
            .arg(program)
            .env("KUBECONFIG", self.kubeconfig());
        command
    }

    /// kubectl.
    pub(crate) fn kubectl(&self) -> Result<Command, Failure> {
        Ok(self.enter(programs::path("kubectl")?))
    }

    /// What kubectl prints, if it succeeds.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Option<String>, Failure> {
        let mut kubectl = self.kubectl()?;
        Ok(output(
            kubectl.args(arguments).stderr(std::process::Stdio::null()),
        ))
    }

    /// Applies manifests.
    pub(crate) fn apply(&self, manifests: &str) -> Result<(), Failure> {
        let file = self.dir.join("applied.yaml");
        fs::write(&file, manifests).map_err(|error| Failure::io(file.display(), &error))?;
        run(self
            .kubectl()?
            .args(["apply", "-f"])
            .arg(&file)
            .stdout(std::process::Stdio::null()))
    }

    /// Fails with advice if it is not up.
    pub(crate) fn must_be_up(&self) -> Result<(), Failure> {
        must_be_root()?;
        if self.namespace().exists() && self.kubeconfig().exists() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the cluster {} is not up: `cargo xtask cluster up` starts it",
            self.name
        )))
    }

    /// One `up` or `down` at a time.
    fn lock(&self) -> Result<File, Failure> {
        let store = programs::store();
        fs::create_dir_all(&store).map_err(|error| Failure::io(store.display(), &error))?;
        lock(&store.join(format!("{}.lock", self.node())))
    }
}

/// Runs `cargo xtask cluster …`.
pub(crate) fn command(arguments: &[&str]) -> Result<(), Failure> {
    let (cluster, rest) = parse(arguments)?;
    match rest {
        [] | ["help" | "-h" | "--help"] => {
            println!("{HELP}");
            Ok(())
        }
        ["up"] => up::up(&cluster),
        ["down"] => down(&cluster),
        ["status"] => status(&cluster),
        ["images"] => {
            cluster.must_be_up()?;
            push_test_images(&cluster)
        }
        ["kubectl", arguments @ ..] => {
            cluster.must_be_up()?;
            run(cluster.kubectl()?.args(arguments)).map_err(Failure::quiet)
        }
        ["run", program, arguments @ ..] => {
            cluster.must_be_up()?;
            let mut command = cluster.enter(program);
            run(command
                .args(arguments)
                .env("PATH", programs::search_path()?))
            .map_err(Failure::quiet)
        }
        ["skete"] => skete::install(&cluster),
        ["test", filter @ ..] => test(&cluster, filter),
        ["restart", "--kill", names @ ..] if !names.is_empty() => {
            up::restart(&cluster, names, true)
        }
        ["restart", names @ ..] if !names.is_empty() => up::restart(&cluster, names, false),
        _ => Err(Failure::new(format!(
            "`cluster {}` is not a command: see `cargo xtask cluster help`",
            arguments.join(" ")
        ))),
    }
}

/// Namespaces, mounts and cgroups are root's.
fn must_be_root() -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::new(
        "a test cluster needs root: run the same command as root",
    ))
}

/// Passes the tests of Pods on a real node, those whose names contain `filter`. The cluster stays
/// up for the next time.
pub(crate) fn test(cluster: &Cluster, filter: &[&str]) -> Result<(), Failure> {
    up::up(cluster)?;
    skete::install(cluster)?;
    let this = std::env::current_exe().map_err(Failure::chain)?;
    let command = format!(
        "{} cluster --name {} --dir {}",
        this.display(),
        cluster.name,
        cluster.dir.display()
    );
    let mut cargo = cargo(&["test", "--locked", "-p", "skete-kubernetes-tests", "--"]);
    run(cargo
        .args(["--include-ignored", "--test-threads", "3"])
        .args(filter)
        .env("SKETE_TEST_CLUSTER", command)
        .env("SKETE_TEST_PREFIX", skete::prefix(cluster))
        .env("SKETE_TEST_ROOT", cluster.dir().join("skete"))
        .env("SKETE_TEST_RUN_ROOT", cluster.run_dir()))
}

/// Ends and removes all of it.
pub(crate) fn down(cluster: &Cluster) -> Result<(), Failure> {
    down::down(cluster)
}

/// Builds Kubernetes' own tests.
pub(crate) fn build_tests() -> Result<(), Failure> {
    programs::build(&programs::TESTS.iter().collect::<Vec<_>>())
}

/// Gives the node's registry all images that Kubernetes' own tests run.
pub(crate) fn push_test_images(cluster: &Cluster) -> Result<(), Failure> {
    images::push(cluster, Set::Tests)
}

/// Takes the options that say which cluster is meant off the front.
pub(crate) fn parse<'a, 'b>(
    mut arguments: &'b [&'a str],
) -> Result<(Cluster, &'b [&'a str]), Failure> {
    let (mut name, mut dir) = ("node1", None);
    loop {
        match arguments {
            ["--name", value, rest @ ..] => (name, arguments) = (value, rest),
            ["--dir", value, rest @ ..] => (dir, arguments) = (Some(*value), rest),
            _ => return Ok((Cluster::new(name, dir)?, arguments)),
        }
    }
}

fn status(cluster: &Cluster) -> Result<(), Failure> {
    println!("{:<26} {:>8}  log", "part", "process");
    for part in parts::all(cluster)? {
        let process = process::Process::recorded(&cluster.pid_file(part.name));
        let state = match process {
            Some(process) if process.lives() => process.pid.to_string(),
            Some(_) => "ended".to_owned(),
            None => "-".to_owned(),
        };
        let log = cluster.log(part.name);
        println!("{:<26} {state:>8}  {}", part.name, log.display());
    }
    cluster.must_be_up()?;
    run(cluster.kubectl()?.args(["get", "nodes", "-o", "wide"]))
}

/// Waits until nobody else has the lock, which is held as long as the file is open.
pub(crate) fn lock(path: &Path) -> Result<File, Failure> {
    let locked = || {
        let file = File::create(path)?;
        file.lock()?;
        Ok(file)
    };
    locked().map_err(|error| Failure::io(format!("lock {}", path.display()), &error))
}

#[cfg(test)]
#[path = "cluster_test.rs"]
mod tests;
