//! The layers of the images, each a directory made when it is first asked for.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use super::programs::{self, Module};
use crate::command::{Failure, digest, output, run};

/// All of them.
#[cfg(test)]
pub(crate) const NAMES: &[&str] = &[
    "agnhost",
    "base",
    "consumer",
    "httpd",
    "kitten",
    "nautilus",
    "nginx",
    "nnp",
    "pause",
    "postgres",
    "regression",
    "tools",
];

/// Programs of Debian that are in the images of which tests run a shell.
const TOOLS: &[&str] = &[
    "bash", "curl", "dig", "getent", "ip", "iperf", "ipcmk", "ipcrm", "ipcs", "nc", "nslookup",
];

/// Where Debian has PostgreSQL's programs and libraries, and what else it reads.
const POSTGRES: &str = "/usr/lib/postgresql/15";
const POSTGRES_SHARE: &str = "/usr/share/postgresql/15";

/// Options of Debian's busybox-static that are turned on and off. As it is, its shell drops
/// variables whose names have a `-` or `.`, and runs its own applets where another program of that
/// name is on the PATH.
const BUSYBOX_ON: &[&str] = &["FEATURE_DI_ENV_HACK", "PRINTENV"];
const BUSYBOX_OFF: &[&str] = &["FEATURE_SH_STANDALONE", "FEATURE_PREFER_APPLETS"];

/// The directory in which they are made.
pub(crate) struct Layers {
    work: PathBuf,
    /// Kubernetes' source, which has some of their files.
    source: PathBuf,
}

impl Layers {
    /// Begins with an empty directory.
    pub(crate) fn new(work: &Path) -> Result<Self, Failure> {
        let _ = fs::remove_dir_all(work);
        fs::create_dir_all(work).map_err(|error| Failure::io(work.display(), &error))?;
        Ok(Self {
            work: work.to_owned(),
            source: Module::Kubernetes.product_source()?,
        })
    }

    /// What is in a layer.
    pub(crate) fn root(&self, name: &str) -> Result<PathBuf, Failure> {
        let root = self.work.join(name);
        if root.exists() {
            return Ok(root);
        }
        let made = match name {
            "base" => base(&root),
            "tools" => tools(&root),
            "postgres" => postgres(&root),
            "pause" => self.pause(&root),
            "agnhost" => self.agnhost(&root),
            "nnp" => install("nnp", &root.join("usr/local/bin/nnp"), 0o6755),
            "regression" => {
                let program = "regression-issue-74839";
                install(program, &root.join(program), 0o755)
            }
            "consumer" => ["consumer", "consume-cpu"]
                .iter()
                .try_for_each(|program| install(program, &root.join(program), 0o755)),
            "httpd" => page(&root.join("usr/local/apache2/htdocs")),
            "nginx" => page(&root.join("usr/share/nginx/html")),
            _ => {
                let html = self.source.join("test/images").join(name).join("html");
                copy_all(&html, &root)
            }
        };
        made.map_err(|failure| {
            let why = failure.message.unwrap_or_default();
            Failure::new(format!("make the image layer {name}: {why}"))
        })?;
        Ok(root)
    }

    fn pause(&self, root: &Path) -> Result<(), Failure> {
        make_dir(root)?;
        run(Command::new("gcc")
            .args(["-Os", "-static", "-DVERSION=3.10.1", "-o"])
            .arg(root.join("pause"))
            .arg(self.source.join("build/pause/linux/pause.c")))
    }

    fn agnhost(&self, root: &Path) -> Result<(), Failure> {
        install("agnhost", &root.join("agnhost"), 0o755)?;
        install("coredns", &root.join("coredns"), 0o755)?;
        link("agnhost", &root.join("agnhost-2"))?;
        make_dir(&root.join("uploads"))?;
        copy_all(&self.source.join("test/images/agnhost/porter"), root)
    }
}

/// A root file system of busybox.
fn base(root: &Path) -> Result<(), Failure> {
    for dir in [
        "bin",
        "dev",
        "etc",
        "home",
        "lib",
        "lib64",
        "mnt",
        "opt",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
        "usr/lib",
        "usr/local/bin",
        "var/log",
        "var/tmp",
    ] {
        make_dir(&root.join(dir))?;
    }
    link("bin", &root.join("sbin"))?;
    link("../bin", &root.join("usr/bin"))?;
    link("../bin", &root.join("usr/sbin"))?;
    for dir in ["tmp", "var/tmp"] {
        chmod(&root.join(dir), 0o1777)?;
    }
    let busybox = busybox()?;
    copy(&busybox, &root.join("bin/busybox"), 0o755)?;
    let applets = output(Command::new(&busybox).arg("--list")).unwrap_or_default();
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        link("busybox", &root.join("bin").join(applet))?;
    }
    write(
        &root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
         nobody:x:65534:65534:nobody:/home:/bin/false\n",
    )?;
    write(
        &root.join("etc/group"),
        "root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\n",
    )?;
    write(&root.join("etc/nsswitch.conf"), "hosts: files dns\n")
}

/// Real programs beside busybox's, with their libraries, and the users that tests ask for.
fn tools(root: &Path) -> Result<(), Failure> {
    make_dir(&root.join("bin"))?;
    for name in TOOLS {
        let path = output(Command::new("sh").args(["-c", "command -v \"$0\"", name]))
            .map(|path| PathBuf::from(path.trim()))
            .ok_or_else(|| Failure::new(format!("{name} is not installed")))?;
        let program =
            fs::canonicalize(&path).map_err(|error| Failure::io(path.display(), &error))?;
        copy(&program, &root.join("bin").join(name), 0o755)?;
        copy_libraries(&program, root)?;
    }
    write(
        &root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n\
         nobody:x:65534:65534:nobody:/home:/bin/false\n\
         user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n",
    )?;
    write(
        &root.join("etc/group"),
        "root:x:0:\ndaemon:x:1:\nnogroup:x:65534:\nuser-defined-in-image:x:1000:\n\
         group-defined-in-image:x:50000:user-defined-in-image\n",
    )
}

/// Debian's PostgreSQL, where Debian has it, and the user that it runs as.
fn postgres(root: &Path) -> Result<(), Failure> {
    let at_home = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let programs = Path::new(POSTGRES).join("bin");
    make_dir(&root.join("usr/local/bin"))?;
    for name in ["initdb", "postgres", "psql"] {
        let program = programs.join(name);
        copy(&program, &at_home(&program), 0o755)?;
        link(
            &program.display().to_string(),
            &root.join("usr/local/bin").join(name),
        )?;
        copy_libraries(&program, root)?;
    }
    // What `initdb` puts into every database.
    for name in ["dict_snowball.so", "plpgsql.so"] {
        let library = Path::new(POSTGRES).join("lib").join(name);
        copy(&library, &at_home(&library), 0o644)?;
    }
    let shared = Path::new(POSTGRES_SHARE);
    make_dir(&at_home(shared.parent().unwrap_or(shared)))?;
    run(Command::new("cp")
        .args(["--recursive", "--dereference"])
        .arg(shared)
        .arg(at_home(shared)))?;
    write(
        &root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n",
    )?;
    write(&root.join("etc/group"), "root:x:0:\npostgres:x:999:\n")
}

fn page(dir: &Path) -> Result<(), Failure> {
    write(
        &dir.join("index.html"),
        "<html><body><h1>It works!</h1></body></html>\n",
    )
}

/// Busybox from Debian's source, built once.
fn busybox() -> Result<PathBuf, Failure> {
    let inputs = format!("1 {BUSYBOX_ON:?} {BUSYBOX_OFF:?}");
    let key = digest(&inputs).map_err(|error| Failure::io("run sha256sum", &error))?;
    let dir = programs::store().join(format!("busybox-{key}"));
    let built = dir.join("busybox");
    if built.exists() {
        return Ok(built);
    }
    let work = dir.join("work");
    let _ = fs::remove_dir_all(&work);
    let source = debian_source("busybox", &work)?;
    let config = source.join(".config");
    let asked = source.join("debian/config/pkg/static");
    let mut text =
        fs::read_to_string(&asked).map_err(|error| Failure::io(asked.display(), &error))?;
    let options = || BUSYBOX_ON.iter().chain(BUSYBOX_OFF);
    let kept = |line: &&str| {
        !options().any(|name| {
            line.split([' ', '='])
                .any(|word| word == format!("CONFIG_{name}"))
        })
    };
    text = text.lines().filter(kept).collect::<Vec<_>>().join("\n");
    text += "\n";
    BUSYBOX_ON
        .iter()
        .for_each(|name| text += &format!("CONFIG_{name}=y\n"));
    BUSYBOX_OFF
        .iter()
        .for_each(|name| text += &format!("# CONFIG_{name} is not set\n"));
    write(&config, &text)?;
    let log = dir.join("busybox.log");
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    // `oldconfig` asks for what the options above make available; an empty answer is the default.
    let script = format!("yes '' | make oldconfig && make -j{jobs} busybox");
    let file = fs::File::create(&log).map_err(|error| Failure::io(log.display(), &error))?;
    let errors = file
        .try_clone()
        .map_err(|error| Failure::io(log.display(), &error))?;
    run(Command::new("sh")
        .args(["-c", &script])
        .current_dir(&source)
        .stdout(file)
        .stderr(errors))
    .map_err(|_| Failure::new(format!("busybox does not build: see {}", log.display())))?;
    copy(&source.join("busybox"), &built, 0o755)?;
    let _ = fs::remove_dir_all(&work);
    Ok(built)
}

/// Fetches and unpacks a Debian source package into `work`, whatever sources apt is told to use.
fn debian_source(package: &str, work: &Path) -> Result<PathBuf, Failure> {
    let (sources, lists) = (work.join("sources"), work.join("lists"));
    make_dir(&sources)?;
    make_dir(&lists.join("partial"))?;
    for entry in fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let name = entry.file_name();
        if name.to_string_lossy().ends_with(".sources") {
            write(
                &sources.join(name),
                &text.replace("Types: deb\n", "Types: deb-src\n"),
            )?;
        }
    }
    let list = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    let lines: String = list
        .lines()
        .filter_map(|line| Some(format!("deb-src {}\n", line.strip_prefix("deb ")?)))
        .collect();
    write(&sources.join("list.list"), &lines)?;
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.current_dir(work).stdout(Stdio::null());
        for (name, path) in [
            ("sourceparts", &sources),
            ("sourcelist", &work.join("none")),
        ] {
            apt.arg("-o")
                .arg(format!("Dir::Etc::{name}={}", path.display()));
        }
        apt.arg("-o")
            .arg(format!("Dir::State::lists={}", lists.display()));
        // apt's own user cannot read a directory of root's.
        apt.args(["-o", "APT::Sandbox::User=root", "-qq"]);
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(["source", package]))?;
    fs::read_dir(work)
        .into_iter()
        .flatten()
        .flatten()
        .find(|entry| {
            let name = entry.file_name();
            name.to_string_lossy().starts_with(&format!("{package}-")) && entry.path().is_dir()
        })
        .map(|entry| entry.path())
        .ok_or_else(|| Failure::new(format!("`apt-get source {package}` has left no source")))
}

/// Copies a program of the cluster's into a layer.
fn install(program: &str, to: &Path, mode: u32) -> Result<(), Failure> {
    copy(&programs::path(program)?, to, mode)
}

/// Copies the libraries that a program of the machine is linked with, to where it looks for them.
fn copy_libraries(program: &Path, root: &Path) -> Result<(), Failure> {
    let libraries = output(Command::new("ldd").arg(program)).unwrap_or_default();
    for library in libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let to = root.join(library.trim_start_matches('/'));
        if !to.exists() {
            copy(Path::new(library), &to, 0o755)?;
        }
    }
    Ok(())
}

/// Copies the files of a directory, not its directories.
fn copy_all(from: &Path, to: &Path) -> Result<(), Failure> {
    let entries = fs::read_dir(from).map_err(|error| Failure::io(from.display(), &error))?;
    for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
        copy(&entry.path(), &to.join(entry.file_name()), 0o644)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), Failure> {
    if let Some(parent) = to.parent() {
        make_dir(parent)?;
    }
    fs::copy(from, to).map_err(|error| {
        Failure::io(
            format!("copy {} to {}", from.display(), to.display()),
            &error,
        )
    })?;
    chmod(to, mode)
}

fn chmod(path: &Path, mode: u32) -> Result<(), Failure> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .map_err(|error| Failure::io(path.display(), &error))
}

fn link(target: &str, path: &Path) -> Result<(), Failure> {
    symlink(target, path).map_err(|error| Failure::io(path.display(), &error))
}

fn make_dir(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| Failure::io(path.display(), &error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    fs::write(path, text).map_err(|error| Failure::io(path.display(), &error))
}
