//! Pods on a real node: how long from `kubectl` until they are Ready, and what an idle one costs
//! the host, with runc in turn with ours. Debian's runsc has no shim, and runc's runs it only as
//! far as a Pod's first container.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use super::{Bench, Rows, median, memory, timed};
use crate::cluster::{self, Cluster};
use crate::command::{Failure, output, run};

/// The runtimes in turn, each by a RuntimeClass of its name.
const RUNTIMES: [&str; 2] = ["skete", "runc"];
/// Starts of which the median counts.
const STARTS: usize = 5;
/// How long an idle Pod is watched.
const IDLE: Duration = Duration::from_secs(30);
/// Its image is pulled already, and it needs nothing to be Ready.
const IMAGE: &str = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1";

pub(super) fn rows(_: &Bench) -> Result<Rows, Failure> {
    let node = Cluster::new("bench", None)?;
    let rows = set_up(&node).and_then(|()| measure(&node));
    cluster::down(&node)?;
    rows
}

fn set_up(node: &Cluster) -> Result<(), Failure> {
    cluster::up(node)?;
    cluster::install_skete(node)?;
    node.apply(
        "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: runc}\nhandler: runc\n",
    )
}

fn measure(node: &Cluster) -> Result<Rows, Failure> {
    let mut times = RUNTIMES.map(|_| Vec::new());
    // The first of each pulls the image.
    for start in 0..=STARTS {
        for (runtime, times) in RUNTIMES.iter().zip(&mut times) {
            let pod = Pod::new(node, runtime);
            let seconds = pod.start()?;
            if start > 0 {
                times.push(seconds);
            }
        }
    }
    let [ours, theirs] = times.map(median);
    let mut rows = vec![
        (
            "Pod until Ready, through kubectl and the kubelet".into(),
            format!("{:.0} ms", ours * 1000.0),
        ),
        (
            "the same to runc, in turn".into(),
            format!("{:.1} × ({:.0} ms theirs)", ours / theirs, theirs * 1000.0),
        ),
    ];
    for runtime in RUNTIMES {
        let pod = Pod::new(node, runtime);
        pod.start()?;
        rows.extend(pod.idle()?);
    }
    Ok(rows)
}

/// A Pod of one container that sleeps, deleted with this value.
struct Pod<'a> {
    node: &'a Cluster,
    runtime: &'static str,
}

impl<'a> Pod<'a> {
    fn new(node: &'a Cluster, runtime: &'static str) -> Self {
        Self { node, runtime }
    }

    fn name(&self) -> String {
        format!("bench-{}", self.runtime)
    }

    /// Makes it and waits until it is Ready; returns the seconds of both.
    fn start(&self) -> Result<f64, Failure> {
        let name = self.name();
        let overrides = format!(
            r#"{{"spec":{{"runtimeClassName":"{}","terminationGracePeriodSeconds":0}}}}"#,
            self.runtime
        );
        let made = timed(
            self.node
                .kubectl()?
                .args(["run", &name, "--image", IMAGE, "--overrides", &overrides])
                .args(["--command", "--", "sleep", "3600"]),
        )?;
        let ready = timed(self.node.kubectl()?.args([
            "wait",
            "--for=condition=Ready",
            "--timeout=120s",
            "pod",
            &name,
        ]))?;
        Ok((made + ready).as_secs_f64())
    }

    /// What it takes of the host while it does nothing: proportional memory of all its processes,
    /// and CPU time of those that are the runtime's.
    fn idle(&self) -> Result<Rows, Failure> {
        sleep(Duration::from_secs(5));
        let pids = self.processes()?;
        let kib: f64 = pids
            .iter()
            .filter_map(|pid| memory::proportional(pid))
            .sum();
        let began = cpu_ms(&pids);
        sleep(IDLE);
        let used = cpu_ms(&pids) - began;
        let what = format!("idle Pod of {}, all its processes", self.runtime);
        let per_minute = used * 60.0 / IDLE.as_secs_f64();
        Ok(vec![
            (
                format!("{what}: proportional memory"),
                format!("{:.1} MiB", kib / 1024.0),
            ),
            (
                format!("{what}: CPU time"),
                format!("{per_minute:.0} ms a minute"),
            ),
        ])
    }

    /// Those in the Pod's cgroups, and its shim, which may be outside.
    fn processes(&self) -> Result<BTreeSet<String>, Failure> {
        let name = self.name();
        let ask = |field: &str| {
            let path = format!("jsonpath={{{field}}}");
            let told = self.node.ask(&["get", "pod", &name, "-o", &path])?;
            told.ok_or_else(|| Failure::new(format!("kubectl does not tell {field} of {name}")))
        };
        let uid = ask(".metadata.uid")?;
        let mut find = Command::new("find");
        find.args(["/sys/fs/cgroup", "-path"])
            .arg(format!("*{uid}*"))
            .args(["-name", "cgroup.procs"]);
        let found = output(&mut find).unwrap_or_default();
        let mut pids: BTreeSet<String> = found
            .lines()
            .filter_map(|file| fs::read_to_string(file).ok())
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        // A shim's command line names its sandbox. This Pod is the only one of the cluster.
        let ctr = cluster::program("ctr")?;
        let mut list = Command::new(ctr);
        list.arg("--address")
            .arg(self.node.run_dir().join("containerd.sock"))
            .args(["--namespace", "k8s.io", "sandboxes", "list"])
            .stderr(Stdio::null());
        for sandbox in output(&mut list).unwrap_or_default().lines().skip(1) {
            let id = sandbox.split_whitespace().next().unwrap_or_default();
            let shim =
                output(Command::new("pgrep").args(["-f", &format!("containerd-shim.*-id {id}")]));
            let shim = shim.unwrap_or_default();
            pids.extend(shim.lines().map(str::to_owned));
        }
        Ok(pids)
    }
}

impl Drop for Pod<'_> {
    fn drop(&mut self) {
        if let Ok(mut kubectl) = self.node.kubectl() {
            let _ = run(kubectl
                .args(["delete", "pod", "--force", "--wait=true", &self.name()])
                .stdout(Stdio::null())
                .stderr(Stdio::null()));
        }
    }
}

/// CPU time of the processes so far, in milliseconds.
fn cpu_ms(pids: &BTreeSet<String>) -> f64 {
    let ticks = |pid: &String| {
        let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).ok()?;
        // The program's name may hold anything; what follows its last bracket are numbers.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        let mut next = || fields.next()?.parse::<f64>().ok();
        Some(next()? + next()?)
    };
    // A tick is 10 ms on every architecture that this runs on (USER_HZ).
    pids.iter().filter_map(ticks).sum::<f64>() * 10.0
}
