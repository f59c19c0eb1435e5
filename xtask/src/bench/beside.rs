//! The same root file system run by others on this machine, in turn with ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Bench, RUNS, Rows, median, memory, timed};
use crate::command::{Failure, output, run};

/// Another runtime that takes an OCI bundle.
struct Other {
    program: &'static str,
    flags: Vec<String>,
    bundle: PathBuf,
}

impl Other {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command
            .args(&self.flags)
            .args(arguments)
            .current_dir(&self.bundle);
        command
    }

    /// Proportional memory of an idle container's processes, in KiB: the container's own, and
    /// what of the runtime stays for it.
    fn idle(&self) -> Result<f64, Failure> {
        let name = format!("sk-idle-{}", std::process::id());
        write_spec(&self.bundle, r#""sleep", "600""#)?;
        run(self
            .command(&["run", "--detach", &name])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null()))?;
        // What is not there at once is there soon.
        std::thread::sleep(Duration::from_millis(500));
        let pids = output(Command::new("pgrep").args(["-f", &name])).unwrap_or_default();
        let own = output(&mut self.command(&["state", &name]));
        let own = own.and_then(|state| {
            let (_, rest) = state.split_once("\"pid\":")?;
            Some(rest.split([',', '}']).next()?.trim().to_owned())
        });
        let mut pids: Vec<&str> = pids.lines().chain(own.as_deref()).collect();
        pids.sort_unstable();
        pids.dedup();
        let kib = pids
            .iter()
            .filter_map(|pid| memory::proportional(pid))
            .sum();
        run(self.command(&["kill", &name, "KILL"]).stdout(Stdio::null()))?;
        delete(self, &name)?;
        Ok(kib)
    }
}

/// A container that was killed can be deleted once it has ended.
fn delete(other: &Other, name: &str) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let deleted = run(other.command(&["delete", name]).stderr(Stdio::null()));
        if deleted.is_ok() || began.elapsed() > Duration::from_secs(10) {
            return deleted;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn write_spec(bundle: &Path, arguments: &str) -> Result<(), Failure> {
    let config = bundle.join("config.json");
    let _ = fs::remove_file(&config);
    run(Command::new("runc").arg("spec").current_dir(bundle))?;
    let spec = fs::read_to_string(&config).map_err(|e| Failure::io(config.display(), &e))?;
    let spec = spec
        .replace("\"sh\"", arguments)
        .replace("\"terminal\": true", "\"terminal\": false");
    fs::write(&config, spec).map_err(|e| Failure::io(config.display(), &e))
}

pub(super) fn rows(bench: &Bench) -> Result<Rows, Failure> {
    let bundle = bench.roots.0.join("bundle");
    crate::image::hello_root(&bundle.join("rootfs"))?;
    let root = |name: &str| format!("--root={}", bench.roots.0.join(name).display());
    let others = [
        Other {
            program: "runc",
            flags: vec![root("runc")],
            bundle: bundle.clone(),
        },
        Other {
            program: "runsc",
            // The platform that needs no KVM, and no network, as the others.
            flags: vec![
                root("runsc"),
                "--network=none".into(),
                "--platform=ptrace".into(),
                "--ignore-cgroups".into(),
            ],
            bundle: bundle.clone(),
        },
    ];
    write_spec(&bundle, "\"true\"")?;
    let mut ratios = [Vec::new(), Vec::new()];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for turn in 0..RUNS {
        let ours = timed(&mut bench.hello(&[], &["true"]))?.as_secs_f64();
        times[2].push(ours);
        for (index, other) in others.iter().enumerate() {
            let name = format!("sk-bench-{}-{turn}", std::process::id());
            let theirs = timed(&mut other.command(&["run", &name]))?.as_secs_f64();
            times[index].push(theirs);
            ratios[index].push(ours / theirs);
        }
    }
    let mut rows = Rows::new();
    for ((other, ratios), times) in others.iter().zip(ratios).zip(&times) {
        rows.push((
            format!("`skete run` to `{} run`, same root, in turn", other.program),
            format!(
                "{:.1} × ({:.0} ms theirs)",
                median(ratios),
                median(times.clone()) * 1000.0
            ),
        ));
    }
    for other in &others {
        rows.push((
            format!("idle container of {}, proportional memory", other.program),
            format!("{:.1} MiB", other.idle()? / 1024.0),
        ));
    }
    Ok(rows)
}
