//! Builds everything into `target/skete`, an installation like any other, and installs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::command::{Failure, cargo, run};
use crate::{cache, image, initramfs, kernel, packages, repository};

/// The agent is static: nothing of the host's libraries is in the guest.
const AGENT_TARGET: &str = "x86_64-unknown-linux-gnu";
/// Programs of the host, and the packages that they are in.
const PROGRAMS: &[(&str, &str)] = &[
    ("skete", "skete"),
    ("containerd-shim-skete-v2", "skete-shim"),
    ("skete-vsock", "skete-vsock"),
    ("skete-mkfs-erofs", "skete-erofs"),
];

/// Builds kernel, guest image and programs; returns the directory that holds `bin` and `share`.
pub(crate) fn build() -> Result<PathBuf, Failure> {
    packages::ensure(&[packages::BUILD, packages::RUN])?;
    let staged = repository().join("target/skete");
    let share = staged.join("share/skete");
    fs::create_dir_all(&share).map_err(|error| Failure::io(share.display(), &error))?;
    // Beside each other: each has stretches in which it keeps one core only.
    std::thread::scope(|scope| {
        let kernel = scope.spawn(|| {
            step("the guest's kernel", || {
                build_kernel(&share.join("vmlinux"))
            })
        });
        let image = scope.spawn(|| {
            step("the guest's image", || {
                initramfs::build(&agent()?, &share.join("initramfs.cpio")).map_err(Failure::chain)
            })
        });
        let programs = step("the programs", || build_programs(&staged.join("bin")));
        let ended = |thread: std::thread::ScopedJoinHandle<'_, Result<(), Failure>>| {
            thread
                .join()
                .unwrap_or_else(|_| Err(Failure::new("a build panicked")))
        };
        programs.and(ended(image)).and(ended(kernel))
    })?;
    Ok(staged)
}

fn build_programs(bin: &Path) -> Result<(), Failure> {
    let mut cargo = cargo_build();
    cargo.arg("--release");
    for (_, package) in PROGRAMS {
        cargo.args(["-p", package]);
    }
    run(&mut cargo)?;
    PROGRAMS.iter().try_for_each(|(program, _)| {
        let built = repository().join("target/release").join(program);
        copy(&built, &bin.join(program))
    })
}

/// Builds the guest's kernel, or finds it in the cache.
pub(crate) fn kernel() -> Result<(), Failure> {
    packages::ensure(&[packages::BUILD])?;
    let out = repository().join("target/vmlinux");
    build_kernel(&out)?;
    eprintln!("xtask: {}", out.display());
    Ok(())
}

fn build_kernel(out: &Path) -> Result<(), Failure> {
    kernel::build(&cache(), out).map_err(Failure::chain)
}

/// Builds the agent.
pub(crate) fn agent() -> Result<PathBuf, Failure> {
    let mut cargo = cargo_build();
    cargo
        .args([
            "-p",
            "skete-agent",
            "--profile",
            "guest",
            "--target",
            AGENT_TARGET,
        ])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("LIBSECCOMP_LINK_TYPE", "static")
        .env("LIBSECCOMP_LIB_PATH", "/usr/lib/x86_64-linux-gnu");
    run(&mut cargo)?;
    Ok(repository()
        .join("target")
        .join(AGENT_TARGET)
        .join("guest/skete-agent"))
}

/// Makes the image of the examples from Debian's busybox-static and loads it, unless it is there.
pub(crate) fn hello_image(staged: &Path) -> Result<(), Failure> {
    hello_image_into(staged, &[])
}

/// The same, with flags that say where Skete keeps its state.
pub(crate) fn hello_image_into(staged: &Path, flags: &[String]) -> Result<(), Failure> {
    packages::ensure(&[packages::EXAMPLES])?;
    let skete = || {
        let mut skete = Command::new(staged.join("bin/skete"));
        skete.args(flags).arg("image");
        skete
    };
    let has = skete().args(["inspect", image::HELLO]).output();
    if has.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    let archive = repository().join("target/hello.tar");
    image::hello(&archive)?;
    run(skete().args(["load", "-q", "-i"]).arg(&archive))
}

/// Builds and installs into `prefix`.
pub(crate) fn install(prefix: &Path) -> Result<(), Failure> {
    let staged = build()?;
    for file in files() {
        copy(&staged.join(&file), &prefix.join(&file))?;
    }
    eprintln!("xtask: installed {}", prefix.join("bin/skete").display());
    Ok(())
}

/// Removes what [`install`] put under `prefix`.
pub(crate) fn uninstall(prefix: &Path) -> Result<(), Failure> {
    for file in files() {
        let path = prefix.join(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io(path.display(), &error));
            }
            _ => {}
        }
    }
    // Ours alone; it stays if somebody put more into it.
    let _ = fs::remove_dir(prefix.join("share/skete"));
    Ok(())
}

fn files() -> Vec<PathBuf> {
    let programs = PROGRAMS
        .iter()
        .map(|(program, _)| Path::new("bin").join(program));
    let guest = ["share/skete/vmlinux", "share/skete/initramfs.cpio"].map(PathBuf::from);
    programs.chain(guest).collect()
}

fn cargo_build() -> Command {
    cargo(&["build", "--locked", "--quiet"])
}

/// Says what is being made, and how long it took when that was long.
pub(crate) fn step<T>(what: &str, make: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    let started = Instant::now();
    eprintln!("xtask: {what}");
    let made = make()?;
    let seconds = started.elapsed().as_secs_f32();
    if seconds > 2.0 {
        eprintln!("xtask: {what}: {seconds:.0} s");
    }
    Ok(made)
}

/// Copies under a temporary name and renames, so that a program that runs keeps its file.
fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let copied = (|| {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        let new = to.with_extension("new");
        fs::copy(from, &new)?;
        fs::rename(&new, to)
    })();
    copied.map_err(|error| {
        Failure::io(
            format!("copy {} to {}", from.display(), to.display()),
            &error,
        )
    })
}
