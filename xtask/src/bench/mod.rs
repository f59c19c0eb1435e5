//! The figures of `SPECIFICATION.md`, measured on this machine: medians of several runs, and
//! ratios to another program in the same run where there is one to compare with.

mod beside;
mod instructions;
mod invoice;
mod kubelet;
mod memory;
mod start;
mod usage;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::command::{Failure, cargo, run};
use crate::{packages, repository, stage};

/// Runs of which the median counts.
const RUNS: usize = 9;
/// Pods that run at once.
const CROWD: usize = 20;
/// Kills at a random moment in one run.
const KILLS: usize = 100;

type Rows = Vec<(String, String)>;
type Part = (&'static str, fn(&Bench) -> Result<Rows, Failure>);

/// What is measured, by its name on the command line.
const PARTS: &[Part] = &[
    ("start", start::rows),
    ("instructions", instructions::rows),
    ("beside", beside::rows),
    ("memory", memory::rows),
    ("layer", |_| conversion()),
    ("crowd", Bench::crowd),
    ("kills", Bench::kills),
    ("invoice", |_| invoice::rows()),
    ("usage", |_| usage::rows()),
    ("ledger", |_| usage::ledger_rows()),
    ("kubelet", kubelet::rows),
];

/// Measures everything, or the parts of these names, and prints a table.
pub(crate) fn measure(names: &[&str]) -> Result<(), Failure> {
    let known = || PARTS.iter().map(|(name, _)| *name);
    if let Some(name) = names
        .iter()
        .find(|name| !known().any(|known| known == **name))
    {
        let known: Vec<_> = known().collect();
        return Err(Failure::new(format!(
            "bench measures no {name:?}: it measures {}",
            known.join(", ")
        )));
    }
    packages::ensure(&[packages::BUILD, packages::RUN, packages::BENCH])?;
    let staged = stage::build()?;
    let bench = Bench {
        roots: Roots::new()?,
        staged,
    };
    stage::hello_image_into(&bench.staged, &bench.roots.flags())?;
    let mut rows = Rows::new();
    for (name, part) in PARTS {
        if names.is_empty() || names.contains(name) {
            eprintln!("xtask: measuring: {name}");
            rows.extend(part(&bench)?);
        }
    }
    println!("| figure | measured |\n|---|---|");
    for (figure, value) in rows {
        println!("| {figure} | {value} |");
    }
    Ok(())
}

struct Bench {
    staged: PathBuf,
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
        let mut skete = Command::new(self.staged.join("bin/skete"));
        skete.args(self.roots.flags()).args(arguments);
        skete
    }

    fn hello(&self, flags: &[&str], command: &[&str]) -> Command {
        let mut skete = self.skete(&["run", "--rm", "--network", "none"]);
        skete.args(flags).arg(crate::image::HELLO).args(command);
        skete
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

    /// `kill -9` at a random moment, again and again: the test of it, with more kills.
    fn kills(&self) -> Result<Rows, Failure> {
        let started = Instant::now();
        let kills = std::env::var("SKETE_TEST_KILLS").unwrap_or_else(|_| KILLS.to_string());
        let test = "nothing_is_left_after_a_kill_at_a_random_moment_and_the_end_is_on_record";
        let mut cargo = cargo(&["test", "--locked", "-q", "-p", "skete-tests", test]);
        cargo
            .args(["--", "--include-ignored", "--nocapture"])
            .env("SKETE_TEST_STAGE", &self.staged)
            .env("SKETE_TEST_KILLS", &kills)
            // What it prints is its seed and each kill; the figures have standard output alone.
            .stdout(std::io::stderr());
        run(&mut cargo)?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(vec![(
            format!("{kills} kills at random moments in one run"),
            format!("nothing left, each end on record, in {seconds:.0} s"),
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
    run(&mut cargo(&[
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn ms(value: f64) -> String {
    format!("{value:.0} ms")
}
