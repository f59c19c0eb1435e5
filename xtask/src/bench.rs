//! The figures of `SPECIFICATION.md`, measured on this machine: medians of several runs, and
//! ratios to another program in the same run where there is one to compare with.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Failure, output, run};
use crate::{packages, repository, stage};

/// Runs of which the median counts.
const RUNS: usize = 9;
/// Pods that run at once in the last measurement.
const CROWD: usize = 20;
/// Phases of `--timings` that the host alone spends, from the command to the monitor.
const HOST: &[&str] = &[
    "images",
    "prepare",
    "shim start",
    "engine: cgroup",
    "engine: network",
    "engine: scratch",
    "engine: monitor",
];

/// Measures everything and prints a table.
pub(crate) fn all() -> Result<(), Failure> {
    packages::ensure(&[packages::BUILD, packages::RUN, packages::BENCH])?;
    let staged = stage::build()?;
    let bench = Bench {
        skete: staged.join("bin/skete"),
        roots: Roots::new()?,
    };
    stage::hello_image_into(&staged, &bench.roots.flags())?;
    let rows = [
        bench.starts()?,
        bench.against_runc()?,
        bench.memory()?,
        conversion()?,
        bench.crowd()?,
    ];
    println!("| figure | measured |\n|---|---|");
    for (figure, value) in rows.into_iter().flatten() {
        println!("| {figure} | {value} |");
    }
    Ok(())
}

type Rows = Vec<(String, String)>;

struct Bench {
    skete: PathBuf,
    roots: Roots,
}

/// State of its own, so that the Pods of the machine are not in the way.
struct Roots(PathBuf);

impl Roots {
    fn new() -> Result<Self, Failure> {
        let dir = std::env::temp_dir().join(format!("sk.{}", std::process::id()));
        fs::create_dir_all(&dir).map_err(|error| Failure::io(dir.display(), &error))?;
        Ok(Self(dir))
    }

    fn flags(&self) -> Vec<String> {
        let below = |name: &str| self.0.join(name).display().to_string();
        vec!["--root".into(), below("s"), "--run-root".into(), below("r")]
    }
}

impl Drop for Roots {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Bench {
    fn skete(&self, arguments: &[&str]) -> Command {
        let mut skete = Command::new(&self.skete);
        skete.args(self.roots.flags()).args(arguments);
        skete
    }

    fn hello(&self, flags: &[&str], command: &[&str]) -> Command {
        let mut skete = self.skete(&["run", "--rm", "--network", "none"]);
        skete.args(flags).arg(crate::image::HELLO).args(command);
        skete
    }

    /// Phases of a start, by the engine's own clock.
    fn starts(&self) -> Result<Rows, Failure> {
        let mut phases: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut whole = Vec::new();
        for _ in 0..RUNS {
            let started = Instant::now();
            let done = self.hello(&["--timings"], &["true"]).output();
            whole.push(started.elapsed().as_secs_f64() * 1000.0);
            let stderr = done.map(|output| output.stderr).unwrap_or_default();
            let mut host = 0.0;
            for line in String::from_utf8_lossy(&stderr).lines() {
                let Some((phase, milliseconds)) = line.trim().rsplit_once(' ') else {
                    continue;
                };
                let Ok(milliseconds) = milliseconds.parse::<f64>() else {
                    continue;
                };
                let phase = phase.trim().to_owned();
                if HOST.contains(&phase.as_str()) {
                    host += milliseconds;
                }
                phases.entry(phase).or_default().push(milliseconds);
            }
            phases.entry("host".to_owned()).or_default().push(host);
        }
        let median_of = |phase: &str| median(phases.get(phase).cloned().unwrap_or_default());
        Ok(vec![
            (
                "`skete run … true`, whole command".into(),
                ms(median(whole)),
            ),
            (
                format!("host side of it ({})", HOST.join(", ")),
                ms(median_of("host")),
            ),
            (
                "guest's uptime at agent-ready".into(),
                ms(median_of("engine: guest-uptime")),
            ),
        ])
    }

    /// The same image's root with runc, in turn.
    fn against_runc(&self) -> Result<Rows, Failure> {
        let bundle = self.roots.0.join("runc");
        crate::image::hello_root(&bundle.join("rootfs"))?;
        run(Command::new("runc").arg("spec").current_dir(&bundle))?;
        let config = bundle.join("config.json");
        let spec = fs::read_to_string(&config).map_err(|e| Failure::io(config.display(), &e))?;
        let spec = spec
            .replace("\"sh\"", "\"true\"")
            .replace("\"terminal\": true", "\"terminal\": false");
        fs::write(&config, spec).map_err(|e| Failure::io(config.display(), &e))?;
        let mut ratios = Vec::new();
        for turn in 0..RUNS {
            let ours = timed(&mut self.hello(&[], &["true"]))?;
            let name = format!("sk-bench-{turn}");
            let theirs = timed(
                Command::new("runc")
                    .args(["run", &name])
                    .current_dir(&bundle),
            )?;
            ratios.push(ours.as_secs_f64() / theirs.as_secs_f64());
        }
        Ok(vec![(
            "`skete run` to `runc run`, same root, in turn".into(),
            format!("{:.1} ×", median(ratios)),
        )])
    }

    /// Resident memory of what an idle Pod has on the host.
    fn memory(&self) -> Result<Rows, Failure> {
        let name = "bench-idle";
        run(self
            .hello(
                &["-d", "-q", "--name", name, "-m", "16m"],
                &["sleep", "600"],
            )
            .stdout(Stdio::null()))?;
        let rows = ["containerd-shim-skete-v2", "skete-vsock"].map(|program| {
            (
                format!("resident memory of {program}, Pod of 16 MiB (guest of 64 MiB)"),
                resident(program),
            )
        });
        run(self.skete(&["kill", name]).stdout(Stdio::null()))?;
        Ok(rows.to_vec())
    }

    /// Twenty Pods at once.
    fn crowd(&self) -> Result<Rows, Failure> {
        let started = Instant::now();
        let spawn = |index: usize| {
            let code = (index % 2).to_string();
            self.hello(&["-q", "-m", "64m"], &["sh", "-c", &format!("exit {code}")])
                .spawn()
        };
        let pods: Vec<Child> = (0..CROWD).filter_map(|index| spawn(index).ok()).collect();
        let right = pods
            .into_iter()
            .enumerate()
            .filter_map(|(index, mut pod)| Some((index, pod.wait().ok()?)))
            .filter(|(index, status)| status.code() == i32::try_from(index % 2).ok())
            .count();
        let seconds = started.elapsed().as_secs_f64();
        Ok(vec![(
            format!("{CROWD} Pods at once"),
            format!("{right} ended right, in {seconds:.1} s"),
        )])
    }
}

/// `tar -x` and the EROFS writer on one layer of Debian's files, in turn, on one disk.
fn conversion() -> Result<Rows, Failure> {
    let work = repository().join("target/bench");
    fs::create_dir_all(&work).map_err(|error| Failure::io(work.display(), &error))?;
    let tar = work.join("layer.tar");
    run(Command::new("tar")
        .args(["--format=pax", "-C", "/", "-cf"])
        .arg(&tar)
        .args(["usr/bin", "usr/share/perl", "usr/lib/python3"]))?;
    run(Command::new("cargo").current_dir(repository()).args([
        "build",
        "--release",
        "-q",
        "-p",
        "skete-erofs",
        "--example",
        "tar2erofs",
    ]))?;
    let converter = repository().join("target/release/examples/tar2erofs");
    let (image, tree) = (work.join("layer.erofs"), work.join("tree"));
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let _ = (fs::remove_file(&image), fs::remove_dir_all(&tree));
        let ours = timed(Command::new(&converter).arg(&tar).arg(&image))?;
        fs::create_dir_all(&tree).map_err(|error| Failure::io(tree.display(), &error))?;
        let theirs = timed(
            Command::new("tar")
                .arg("-xf")
                .arg(&tar)
                .arg("-C")
                .arg(&tree),
        )?;
        ratios.push(ours.as_secs_f64() / theirs.as_secs_f64());
    }
    let mib = fs::metadata(&tar).map_or(0, |meta| meta.len() >> 20);
    let _ = fs::remove_dir_all(&work);
    Ok(vec![(
        format!("layer of {mib} MiB to EROFS, to `tar -x`"),
        format!("{:.2} ×", median(ratios)),
    )])
}

fn timed(command: &mut Command) -> Result<Duration, Failure> {
    let started = Instant::now();
    run(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    Ok(started.elapsed())
}

/// Of the newest process of that name.
fn resident(program: &str) -> String {
    let comm: String = program.chars().take(15).collect();
    let pid = output(Command::new("pgrep").args(["-n", "-x", &comm]));
    let status = pid.and_then(|pid| {
        fs::read_to_string(Path::new("/proc").join(pid.trim()).join("status")).ok()
    });
    let kib = status.and_then(|status| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?
            .trim();
        line.strip_suffix(" kB")?.trim().parse::<f64>().ok()
    });
    kib.map_or("not found".into(), |kib| format!("{:.1} MiB", kib / 1024.0))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn ms(value: f64) -> String {
    format!("{value:.0} ms")
}
