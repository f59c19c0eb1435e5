//! What an idle Pod takes of the host's memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{Bench, Rows};
use crate::command::{Failure, output, run};

/// The name of the Pod that is looked at.
const NAME: &str = "bench-idle";

pub(super) fn rows(bench: &Bench) -> Result<Rows, Failure> {
    run(bench
        .hello(
            &["-d", "-q", "--name", NAME, "-m", "16m"],
            &["sleep", "600"],
        )
        .stdout(Stdio::null()))?;
    let rows = of_idle_pod(bench);
    run(bench.skete(&["rm", "-f", NAME]).stdout(Stdio::null()))?;
    rows
}

fn of_idle_pod(bench: &Bench) -> Result<Rows, Failure> {
    let id = output(&mut bench.skete(&["ps", "-q", "--no-trunc"])).unwrap_or_default();
    let id = id.lines().next().unwrap_or_default();
    let cgroup = cgroup(id).ok_or_else(|| Failure::new(format!("Pod {id:?} has no cgroup")))?;
    let procs = cgroup.join("cgroup.procs");
    let pids = fs::read_to_string(&procs).map_err(|e| Failure::io(procs.display(), &e))?;
    let mib = |kib: f64| format!("{:.1} MiB", kib / 1024.0);
    let mut rows = Rows::new();
    let mut all = 0.0;
    for pid in pids.lines() {
        let proc = Path::new("/proc").join(pid);
        let program = fs::read_link(proc.join("exe")).unwrap_or_default();
        let program = program.file_name().unwrap_or_default().to_string_lossy();
        let status = proc.join("status");
        let field = |name: &str| field(&status, name).unwrap_or(f64::NAN);
        all += proportional(pid).unwrap_or(f64::NAN);
        let value = match program.starts_with("qemu") {
            true => format!(
                "{}, of it {} the guest's memory and {} QEMU's own",
                mib(field("VmRSS:")),
                mib(field("RssShmem:")),
                mib(field("RssAnon:"))
            ),
            false => mib(field("VmRSS:")),
        };
        rows.push((
            format!("resident memory of {program}, Pod of 16 MiB (guest of 64 MiB)"),
            value,
        ));
    }
    rows.sort();
    rows.push((
        "all of that Pod's cgroup, proportional memory".into(),
        mib(all),
    ));
    Ok(rows)
}

/// The directory of a Pod's cgroup: of version 2, or of the hierarchy that counts memory.
fn cgroup(id: &str) -> Option<PathBuf> {
    let roots = ["/sys/fs/cgroup/skete", "/sys/fs/cgroup/memory/skete"];
    let mut dirs = roots.iter().map(|root| Path::new(root).join(id));
    dirs.find(|dir| !id.is_empty() && dir.join("cgroup.procs").exists())
}

/// A process's share of the pages it has, in KiB: what several have is split among them.
pub(super) fn proportional(pid: &str) -> Option<f64> {
    field(&Path::new("/proc").join(pid).join("smaps_rollup"), "Pss:")
}

/// A field of a file as `/proc/PID/status`, in KiB.
fn field(file: &Path, name: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
