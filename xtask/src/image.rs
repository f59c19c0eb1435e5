//! The image of the examples, made on the spot from Debian's busybox-static: no registry needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::command::{Failure, output, run};

/// Its name.
pub(crate) const HELLO: &str = "localhost/hello:1";
/// What runs without a command.
const CONFIG: &str = r#""Cmd":["sh"],"Env":["PATH=/bin"]"#;

/// Makes the image's root file system.
pub(crate) fn hello_root(root: &Path) -> Result<(), Failure> {
    let failed = |error| Failure::io(format!("make {}", root.display()), &error);
    for dir in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
        fs::create_dir_all(root.join(dir)).map_err(failed)?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).map_err(failed)?;
    let applets = output(Command::new("/bin/busybox").arg("--list")).unwrap_or_default();
    for applet in applets.lines().filter(|applet| *applet != "busybox") {
        symlink("busybox", root.join("bin").join(applet)).map_err(failed)?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").map_err(failed)?;
    fs::write(root.join("etc/group"), "root:x:0:\n").map_err(failed)
}

/// Writes the image to `archive`, in the form of `docker save`.
pub(crate) fn hello(archive: &Path) -> Result<(), Failure> {
    let work = archive.with_extension("work");
    let failed = |error| Failure::io(format!("make {}", archive.display()), &error);
    let _ = fs::remove_dir_all(&work);
    let root = work.join("root");
    hello_root(&root)?;
    tar(&root, &work.join("layer.tar"), &["."])?;
    let digest = output(Command::new("sha256sum").arg(work.join("layer.tar")))
        .and_then(|line| line.split_whitespace().next().map(str::to_owned))
        .ok_or_else(|| Failure::new("sha256sum does not run"))?;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config =
        format!(r#"{{"architecture":"{architecture}","os":"linux","config":{{{CONFIG}}},"#)
            + &format!(r#""rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#);
    fs::write(work.join("config.json"), config).map_err(failed)?;
    let manifest =
        format!(r#"[{{"Config":"config.json","RepoTags":["{HELLO}"],"Layers":["layer.tar"]}}]"#);
    fs::write(work.join("manifest.json"), manifest).map_err(failed)?;
    tar(
        &work,
        archive,
        &["manifest.json", "config.json", "layer.tar"],
    )?;
    fs::remove_dir_all(&work).map_err(failed)
}

/// The same files give the same bytes.
fn tar(dir: &Path, archive: &Path, files: &[&str]) -> Result<(), Failure> {
    let mut tar = Command::new("tar");
    tar.args([
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "-C",
    ]);
    run(tar.arg(dir).arg("-cf").arg(archive).args(files))
}
