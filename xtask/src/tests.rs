//! All tests, as `.ci/run` runs them: the rules first, then the crates' own, then those that need
//! a guest kernel or a staged installation.

use std::path::Path;

use crate::cluster::{self, Cluster};
use crate::command::{Failure, cargo, run};
use crate::{e2e, links, packages, repository, stage};

/// A file that passes this many lines wants to be two.
const MAX_LINES: usize = 600;

/// What looks like a test and is none: its name, or the beginning of several, and why.
const SKIPPED: &[(&str, &str)] = &[
    (
        "create_and_remove_for_ever",
        "the process that another test kills",
    ),
    ("attaching_takes_milliseconds", "a measurement"),
    ("a_network_takes_tens_of_milliseconds", "a measurement"),
    ("a_heartbeat_takes_microseconds", "a measurement"),
    ("a_million_records_are_folded", "a measurement"),
];

/// Runs all tests, or those whose names contain `filter`.
pub(crate) fn all(filter: Option<&str>) -> Result<(), Failure> {
    packages::ensure(&[packages::BUILD, packages::RUN, packages::TEST])?;
    if filter.is_none() {
        lint()?;
    }
    let staged = stage::build()?;
    let mut tests = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    tests
        // They need a cluster, and follow below.
        .args(["--exclude", "skete-kubernetes-tests"])
        .args(filter)
        .arg("--")
        // Ignored are the tests that need what is built above.
        .arg("--include-ignored")
        .args(SKIPPED.iter().flat_map(|(name, _)| ["--skip", name]))
        // Guests under emulation, beside each other, on as many cores as there are.
        .args(["--test-threads", "2"])
        .env("SKETE_TEST_STAGE", &staged)
        .env("SKETE_TEST_KERNEL", staged.join("share/skete/vmlinux"))
        .env("SKETE_TEST_VSOCK", staged.join("bin/skete-vsock"))
        .env("SKETE_TEST_AGENT", stage::agent()?);
    // The tests of `skete node install` ask a real one once there is one.
    if let Ok(containerd) = cluster::program("containerd")
        && containerd.is_file()
    {
        tests.env("SKETE_TEST_CONTAINERD", containerd);
    }
    run(&mut tests)?;
    if filter.is_none() {
        let cluster = Cluster::new("test", None)?;
        let passed = cluster::test(&cluster, &[]).and_then(|()| e2e::quick(cluster.clone()));
        cluster::down(&cluster)?;
        passed?;
    }
    for (name, reason) in SKIPPED {
        eprintln!("xtask: skipped {name}: {reason}");
    }
    Ok(())
}

/// What every commit must satisfy.
pub(crate) fn lint() -> Result<(), Failure> {
    packages::ensure(&[packages::BUILD])?;
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "-q",
        "--",
        "-D",
        "warnings",
    ]))?;
    let broken = links::broken(&repository());
    if !broken.is_empty() {
        return Err(Failure::new(broken.join("\n")));
    }
    let mut long = Vec::new();
    for dir in ["crates", "xtask", "tests"] {
        long_files(&repository().join(dir), &mut long);
    }
    if long.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "longer than {MAX_LINES} lines: {}",
        long.join(", ")
    )))
}

fn long_files(dir: &Path, long: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                long_files(&path, long);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let lines = std::fs::read_to_string(&path)
                .unwrap_or_default()
                .lines()
                .count();
            if lines > MAX_LINES {
                long.push(format!("{} ({lines})", path.display()));
            }
        }
    }
}
