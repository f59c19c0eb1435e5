//! Kubernetes' own tests on the test cluster: `cargo xtask e2e`.

mod report;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cluster::{self, Cluster};
use crate::command::{Failure, run};
use crate::repository;
use report::{Outcome, Refused, Row, Test};

/// What `cargo xtask e2e` can do.
const HELP: &str = "\
usage: cargo xtask e2e [--name NAME] [--dir DIR] [--runtime RUNTIME] [--procs N] [--timeout TIME]
                       [--quick | FOCUS]

Runs Kubernetes' own tests with every Pod in RUNTIME (skete), on a cluster of `cargo xtask cluster`,
which it brings up: those of tests/cluster/e2e-baseline-runc.txt, which pass with runc, or the part
of them that takes minutes (--quick), or all whose names match the regular expression FOCUS. N (4; 8
with runc) run at a time, for at most TIME (3h). The results are printed beside those with runc, and kept in target/e2e/RUNTIME.";

/// Tests that need a machine of their own, or hours, or what this cluster has not.
const SKIP: &str = r"\[Serial\]|\[Disruptive\]|\[Slow\]|\[Flaky\]|\[Feature:.+\]";
const POLICY: &str = include_str!("../../../tests/cluster/e2e-runtimeclass.yaml");
/// How long the API server has to follow a new policy.
const PATIENCE: Duration = Duration::from_secs(60);

struct Options<'a> {
    cluster: Cluster,
    runtime: &'a str,
    procs: u32,
    timeout: &'a str,
    tests: Tests<'a>,
}

/// Which tests.
enum Tests<'a> {
    /// All that pass with runc.
    Baseline,
    /// The part of them that every change has to pass.
    Quick,
    /// Those whose names match.
    Focus(&'a str),
}

/// Runs `cargo xtask e2e …`.
pub(crate) fn command(arguments: &[&str]) -> Result<(), Failure> {
    if let ["help" | "-h" | "--help"] = arguments {
        println!("{HELP}");
        return Ok(());
    }
    run_tests(&parse(arguments)?)
}

/// The part of the tests that every change has to pass.
pub(crate) fn quick(cluster: Cluster) -> Result<(), Failure> {
    run_tests(&Options {
        cluster,
        runtime: "skete",
        procs: 4,
        timeout: "20m",
        tests: Tests::Quick,
    })
}

fn run_tests(options: &Options<'_>) -> Result<(), Failure> {
    let cluster = &options.cluster;
    cluster::up(cluster)?;
    if options.runtime != cluster::RUNC {
        cluster::install_skete(cluster)?;
    }
    cluster::build_tests()?;
    cluster::push_test_images(cluster)?;
    let out = repository().join("target/e2e").join(options.runtime);
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).map_err(|error| Failure::io(out.display(), &error))?;
    let lists = repository().join("tests/cluster");
    let list = |name: &str| Ok(report::names(&read(&lists.join(name))?));
    let baseline = list("e2e-baseline-runc.txt")?;
    // Of what Skete refuses, runc refuses nothing.
    let refused = match options.runtime {
        cluster::RUNC => Refused::default(),
        _ => Refused::parse(&read(&lists.join("e2e-refused.txt"))?),
    };
    let named = match options.tests {
        Tests::Baseline => baseline.clone(),
        Tests::Quick => list("e2e-quick.txt")?,
        Tests::Focus(_) => Vec::new(),
    };
    let focus = match options.tests {
        Tests::Focus(focus) => focus.to_owned(),
        _ => {
            let accepted = named.iter().filter(|name| refused.reason(name).is_none());
            report::exactly(accepted)
        }
    };
    let started = Instant::now();
    let tests = {
        // A run that was killed may have left its own.
        drop(Policy(cluster));
        let _policy = (options.runtime != cluster::RUNC)
            .then(|| Policy::new(cluster, options.runtime))
            .transpose()?;
        ginkgo(options, &focus, &out)?
    };
    let rows = report::rows(&named, &baseline, &refused, &tests);
    finish(&rows, &tests, options.runtime, &out, started.elapsed())
}

fn parse<'a>(arguments: &[&'a str]) -> Result<Options<'a>, Failure> {
    let (cluster, mut rest) = cluster::parse(arguments)?;
    let (mut runtime, mut procs, mut timeout) = ("skete", None, "3h");
    let mut tests = Tests::Baseline;
    loop {
        match rest {
            [] => break,
            ["--runtime", value, more @ ..] => (runtime, rest) = (value, more),
            ["--timeout", value, more @ ..] => (timeout, rest) = (value, more),
            ["--procs", value, more @ ..] => {
                let number = value
                    .parse()
                    .ok()
                    .filter(|number| (1..=64).contains(number));
                procs = Some(number.ok_or_else(|| {
                    Failure::new(format!("--procs {value}: give a number from 1 to 64"))
                })?);
                rest = more;
            }
            ["--quick"] => (tests, rest) = (Tests::Quick, &[]),
            [value] if !value.starts_with("--") => (tests, rest) = (Tests::Focus(value), &[]),
            [value, ..] => {
                return Err(Failure::new(format!(
                    "`{value}` is not understood: see `cargo xtask e2e help`"
                )));
            }
        }
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if runtime.is_empty() || !runtime.chars().all(plain) {
        return Err(Failure::new(format!(
            "--runtime {runtime}: give the name of a runtime in containerd's configuration"
        )));
    }
    let usual = if runtime == cluster::RUNC { 8 } else { 4 };
    Ok(Options {
        cluster,
        runtime,
        procs: procs.unwrap_or(usual),
        timeout,
        tests,
    })
}

/// As long as it lives, Pods that name no RuntimeClass get one.
struct Policy<'a>(&'a Cluster);

impl<'a> Policy<'a> {
    fn new(cluster: &'a Cluster, runtime: &str) -> Result<Self, Failure> {
        let node = cluster.node();
        let path = "jsonpath={.status.runtimeHandlers[*].name}";
        // The kubelet tells of a new one within some seconds.
        let known = || {
            let handlers = cluster.ask(&["get", "node", &node, "-o", path])?;
            let handlers = handlers.unwrap_or_default();
            Ok(handlers.split_whitespace().any(|name| name == runtime))
        };
        wait(known, || {
            format!(
                "containerd on {node} has no runtime `{runtime}`: add it to {}",
                cluster.dir().join("etc/containerd/conf.d").display()
            )
        })?;
        // Removed by Drop also if it takes no effect.
        let policy = Self(cluster);
        cluster.apply(&POLICY.replace("@RUNTIME@", runtime))?;
        let class = format!("e2e-{runtime}");
        let probe = "run e2e-probe --image=x --dry-run=server -o jsonpath={.spec.runtimeClassName}";
        let probe: Vec<&str> = probe.split(' ').collect();
        let given = || Ok(cluster.ask(&probe)?.as_deref() == Some(&class));
        wait(given, || {
            format!(
                "Pods do not get the RuntimeClass {class}: see the API server's log, which \
                 `cargo xtask cluster status` names"
            )
        })?;
        Ok(policy)
    }
}

/// Waits until it is so; `otherwise` says what is wrong when it does not come to it.
fn wait(
    is_so: impl Fn() -> Result<bool, Failure>,
    otherwise: impl FnOnce() -> String,
) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            return Err(Failure::new(otherwise()));
        }
        sleep(Duration::from_secs(1));
    }
    Ok(())
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        let _ = self.0.ask(&[
            "delete",
            "mutatingadmissionpolicybinding/e2e-runtimeclass",
            "mutatingadmissionpolicy/e2e-runtimeclass",
            "--ignore-not-found",
        ]);
    }
}

/// Runs the tests and returns what became of them.
fn ginkgo(options: &Options<'_>, focus: &str, out: &Path) -> Result<Vec<Test>, Failure> {
    let cluster = &options.cluster;
    let log = out.join("log");
    let open = || fs::File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
    let (stdout, stderr) = open().map_err(|error| Failure::io(log.display(), &error))?;
    eprintln!(
        "xtask: Kubernetes' tests with {}; their log is {}",
        options.runtime,
        log.display()
    );
    let report = out.join("report.json");
    // If this process is killed, they do not run on for hours.
    let mut ginkgo = cluster.enter("setpriv");
    ginkgo
        .args(["--pdeathsig", "TERM"])
        .arg(cluster::program("ginkgo")?)
        .arg(format!("--procs={}", options.procs))
        .arg(format!("--timeout={}", options.timeout))
        // Their time-outs were made for machines with more than two cores: a test that failed is
        // run once more, and told of.
        .args(matches!(options.tests, Tests::Quick).then_some("--flake-attempts=2"))
        .args(["--no-color", "--silence-skips", "--json-report=report.json"])
        .arg(format!("--output-dir={}", out.display()))
        .arg(format!("--focus={focus}"))
        .arg(format!("--skip={SKIP}"))
        .arg(cluster::program("e2e.test")?)
        .args([
            "--",
            "--provider=skeleton",
            "--num-nodes=1",
            "--dump-logs-on-failure=false",
        ])
        .arg(format!("--kubeconfig={}", cluster.kubeconfig().display()))
        .arg(format!(
            "--kubectl-path={}",
            cluster::program("kubectl")?.display()
        ))
        .current_dir(out)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr);
    let ended = run(&mut ginkgo);
    let Ok(text) = fs::read_to_string(&report) else {
        ended?;
        return Err(Failure::new(format!(
            "no test was run: see {}",
            log.display()
        )));
    };
    report::parse(&text).map_err(|error| {
        Failure::new(format!(
            "{} is not a report of ginkgo's: {error}",
            report.display()
        ))
    })
}

/// Writes the results down, prints them, and fails if a test has that should not.
fn finish(
    rows: &[Row],
    tests: &[Test],
    runtime: &str,
    out: &Path,
    took: Duration,
) -> Result<(), Failure> {
    let write = |name: &str, lines: Vec<String>| {
        let path = out.join(name);
        let text = lines.join("\n") + "\n";
        fs::write(&path, text).map_err(|error| Failure::io(path.display(), &error))
    };
    for (file, outcome) in [
        ("passed.txt", Outcome::Passed),
        ("failed.txt", Outcome::Failed),
        ("skipped.txt", Outcome::Skipped),
    ] {
        let of = tests.iter().filter(|test| test.outcome == outcome);
        let line = |test: &Test| match test.why.as_str() {
            "" => test.name.clone(),
            why => format!("{}\t# {why}", test.name),
        };
        write(file, of.map(line).collect())?;
    }
    let mut slowest: Vec<&Test> = tests.iter().collect();
    slowest.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let times = slowest
        .iter()
        .map(|test| format!("{:.1}\t{}", test.seconds, test.name));
    write("times.tsv", times.collect())?;
    write("table.txt", rows.iter().map(Row::line).collect())?;

    println!("{}", report::summary(rows, runtime));
    for row in rows.iter().filter(|row| row.outcome != Outcome::Passed) {
        println!("{}", row.line());
    }
    println!(
        "{:.0} s; all results are in {}",
        took.as_secs_f32(),
        out.display()
    );
    for test in tests.iter().filter(|test| test.attempts > 1) {
        println!("at attempt {}: {}", test.attempts, test.name);
    }
    let bad = rows.iter().filter(|row| row.counts_against()).count();
    if tests.is_empty() {
        return Err(Failure::new("no test has a name like that"));
    }
    if bad > 0 {
        return Err(Failure::new(format!(
            "{bad} of {} tests did not pass; run one again alone before you believe it",
            rows.len()
        )));
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::io(path.display(), &error))
}
