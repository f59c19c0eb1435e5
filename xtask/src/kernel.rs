//! Builds the guest's kernel from Debian's source package and `guest/kernel.config`, once for
//! each set of inputs.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use crate::command::digest;

/// The packages of Debian 12 that a build needs.
pub(crate) const PACKAGES: &[&str] = &[
    "linux-source-6.12",
    "gcc",
    "make",
    "flex",
    "bison",
    "bc",
    "libelf-dev",
    "xz-utils",
];

/// The package that the source is taken from, and where it puts it.
const SOURCE_PACKAGE: &str = "linux-source-6.12";
const SOURCE: &str = "/usr/src/linux-source-6.12.tar.xz";

/// What is asked of the kernel.
const CONFIG: &str = include_str!("../../guest/kernel.config");

/// Raised when the steps below change in a way that changes the kernel.
const RECIPE: u32 = 1;

/// About how many files are compiled: only for the percentage that is shown.
const STEPS: usize = 1480;

/// Parts of the source that are large and never built here. Their Kconfig files stay, since the
/// configuration reads them all.
const LEFT_OUT: &[&str] = &[
    "*/arch/[!x]*/*.[chS]",
    "*/arch/[!x]*/*.dts*",
    "*/drivers/gpu/*.[ch]",
    "*/drivers/media/*.[ch]",
    "*/drivers/net/ethernet/*.[ch]",
    "*/drivers/net/wireless/*.[ch]",
    "*/drivers/scsi/*.[ch]",
    "*/sound/*.[ch]",
    "*/tools/testing/*",
    "*/tools/perf/*",
    "*/Documentation/*.rst",
    "*/Documentation/*.yaml",
];

/// Why there is no kernel.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KernelError {
    /// What a build needs is not installed.
    #[error("the guest's kernel cannot be built without {0}: install {packages}", packages = PACKAGES.join(" "))]
    Missing(&'static str),
    /// A file or directory cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program cannot be started.
    #[error("cannot run {program}")]
    Run {
        /// Which.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A program failed; its last lines.
    #[error("{program} failed:\n{said}")]
    Failed {
        /// Which.
        program: &'static str,
        /// What it said last.
        said: String,
    },
    /// Options that did not take: each is misspelt, gone, or depends on one that is not asked for.
    #[error("these lines of guest/kernel.config did not take: {}", .0.join(", "))]
    Config(Vec<String>),
}

fn file<T>(path: &Path, result: io::Result<T>) -> Result<T, KernelError> {
    result.map_err(|source| KernelError::File {
        path: path.to_owned(),
        source,
    })
}

/// Puts the kernel at `out`, an ELF file with a PVH entry. It is built if `cache` does not have it,
/// which takes some minutes.
pub(crate) fn build(cache: &Path, out: &Path) -> Result<(), KernelError> {
    if !Path::new(SOURCE).exists() {
        return Err(KernelError::Missing(SOURCE));
    }
    let key = key()?;
    let store = cache.join("kernel");
    file(&store, fs::create_dir_all(&store))?;
    // One build at a time: the second finds what the first has built.
    let lock_path = store.join("lock");
    let lock = file(&lock_path, File::create(&lock_path))?;
    file(&lock_path, lock.lock())?;
    let entry = store.join(&key);
    if !entry.join("vmlinux").exists() {
        let scratch = store.join("build");
        // What an interrupted build has left.
        remove(&scratch)?;
        compile(&scratch, &entry)?;
        remove(&scratch)?;
    }
    copy(&entry.join("vmlinux"), out)
}

/// Names all that the kernel depends on.
fn key() -> Result<String, KernelError> {
    let package = output(
        "dpkg-query",
        Command::new("dpkg-query").args(["-W", "-f", "${Version}", SOURCE_PACKAGE]),
    )?;
    let compiler = output(
        "gcc",
        Command::new("gcc").args(["-dumpfullversion", "-dumpmachine"]),
    )?;
    let linker = output("ld", Command::new("ld").arg("--version"))?;
    let linker = linker.lines().next().unwrap_or_default();
    let inputs = format!("{RECIPE}\n{package}\n{compiler}\n{linker}\n{CONFIG}");
    digest(&inputs).map_err(|source| KernelError::Run {
        program: "sha256sum",
        source,
    })
}

/// Builds in `scratch`, and puts the result at `entry` when it is complete.
fn compile(scratch: &Path, entry: &Path) -> Result<(), KernelError> {
    for (program, argument) in [
        ("gcc", "--version"),
        ("make", "--version"),
        ("flex", "-V"),
        ("bison", "-V"),
        ("bc", "-v"),
    ] {
        let found = Command::new(program)
            .arg(argument)
            .stdout(Stdio::null())
            .status();
        if found.is_err() {
            return Err(KernelError::Missing(program));
        }
    }
    if !Path::new("/usr/include/gelf.h").exists() {
        return Err(KernelError::Missing("libelf"));
    }
    let begun = Instant::now();
    eprintln!("kernel: unpacking {SOURCE}");
    let tree = scratch.join("source");
    file(&tree, fs::create_dir_all(&tree))?;
    let mut tar = Command::new("tar");
    tar.args(["-xf", SOURCE, "--strip-components=1", "-C"])
        .arg(&tree);
    tar.args(
        LEFT_OUT
            .iter()
            .map(|pattern| format!("--exclude={pattern}")),
    );
    output("tar", &mut tar)?;

    let asked = scratch.join("asked.config");
    file(&asked, fs::write(&asked, CONFIG))?;
    let mut configure = make(&tree);
    configure
        .arg("allnoconfig")
        .env("KCONFIG_ALLCONFIG", &asked);
    output("make allnoconfig", &mut configure)?;
    let config = tree.join(".config");
    let got = file(&config, fs::read_to_string(&config))?;
    let refused = refused(CONFIG, &got);
    if !refused.is_empty() {
        return Err(KernelError::Config(refused));
    }

    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let mut compiler = make(&tree);
    compiler.arg(format!("-j{jobs}")).arg("vmlinux");
    watch(&mut compiler)?;

    let fresh = scratch.join("fresh");
    file(&fresh, fs::create_dir_all(&fresh))?;
    let kernel = fresh.join("vmlinux");
    let mut strip = Command::new("strip");
    strip
        .arg("-s")
        .arg("-o")
        .arg(&kernel)
        .arg(tree.join("vmlinux"));
    output("strip", &mut strip)?;
    copy(&config, &fresh.join("config"))?;
    // Where a panic's addresses can be looked up: the kernel itself has no symbols.
    copy(&tree.join("System.map"), &fresh.join("System.map"))?;
    remove(entry)?;
    file(entry, fs::rename(&fresh, entry))?;
    eprintln!("kernel: built in {} s", begun.elapsed().as_secs());
    Ok(())
}

/// `make` in the source tree, such that the same source gives the same kernel.
fn make(tree: &Path) -> Command {
    let mut make = Command::new("make");
    make.arg("-C")
        .arg(tree)
        .env_remove("MAKEFLAGS")
        .env("LC_ALL", "C")
        .env("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970")
        .env("KBUILD_BUILD_USER", "skete")
        .env("KBUILD_BUILD_HOST", "skete")
        .env("KBUILD_BUILD_VERSION", "1");
    make
}

/// Runs the compilation, and shows how far it is.
fn watch(make: &mut Command) -> Result<(), KernelError> {
    let program = "make vmlinux";
    let run = |source| KernelError::Run { program, source };
    let mut child = make
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(run)?;
    let complaints = child.stderr.take().map(|stderr| {
        thread::spawn(move || -> Vec<String> {
            BufReader::new(stderr)
                .lines()
                .map_while(Result::ok)
                .collect()
        })
    });
    if let Some(stdout) = child.stdout.take() {
        let terminal = io::stderr().is_terminal();
        let (mut steps, mut shown) = (0, 0);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            steps += usize::from(line.starts_with("  CC ") || line.starts_with("  AS "));
            let percent = (steps * 100 / STEPS).min(99);
            if percent >= shown + if terminal { 1 } else { 10 } {
                shown = percent;
                let (begin, end) = if terminal { ("\r", "") } else { ("", "\n") };
                eprint!("{begin}kernel: compiling, {percent} %{end}");
            }
        }
        if terminal {
            eprintln!();
        }
    }
    let status = child.wait().map_err(run)?;
    let lines = complaints
        .and_then(|thread| thread.join().ok())
        .unwrap_or_default();
    if status.success() {
        return Ok(());
    }
    let said = lines[lines.len().saturating_sub(30)..].join("\n");
    Err(KernelError::Failed { program, said })
}

/// The lines of `asked` that are not so in `got`.
fn refused(asked: &str, got: &str) -> Vec<String> {
    let got: std::collections::HashSet<&str> = got.lines().collect();
    let on = |name: &str| {
        [format!("{name}=y"), format!("{name}=m")]
            .iter()
            .any(|line| got.contains(line.as_str()))
    };
    asked
        .lines()
        .filter(|line| {
            match line
                .strip_prefix("# ")
                .and_then(|l| l.strip_suffix(" is not set"))
            {
                Some(name) => on(name),
                None => line.starts_with("CONFIG_") && !got.contains(line),
            }
        })
        .map(str::to_owned)
        .collect()
}

/// Runs a program to its end, and returns what it wrote.
fn output(program: &'static str, command: &mut Command) -> Result<String, KernelError> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| KernelError::Run { program, source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr)
        .trim_end()
        .to_owned();
    Err(KernelError::Failed { program, said })
}

/// Copies a file such that its place never holds a part of it.
fn copy(from: &Path, to: &Path) -> Result<(), KernelError> {
    if let Some(dir) = to.parent() {
        file(dir, fs::create_dir_all(dir))?;
    }
    let new = to.with_extension("new");
    file(from, fs::copy(from, &new))?;
    file(to, fs::rename(&new, to))
}

fn remove(dir: &Path) -> Result<(), KernelError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => file(dir, Err(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "kernel_test.rs"]
mod tests;
