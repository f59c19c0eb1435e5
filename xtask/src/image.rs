//! The image of the examples, made on the spot from Debian's busybox-static: no registry needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
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

/// Writes the image of the examples to `file`.
pub(crate) fn hello(file: &Path) -> Result<(), Failure> {
    let work = file.with_extension("work");
    let failed = |error| Failure::io(format!("make {}", file.display()), &error);
    let _ = fs::remove_dir_all(&work);
    let root = work.join("root");
    hello_root(&root)?;
    let layer = layer(&root, &work.join("layer.tar"))?;
    archive(HELLO, CONFIG, &[layer], file)?;
    fs::remove_dir_all(&work).map_err(failed)
}

/// A layer of an image: a tar file and its digest, in hexadecimal digits.
pub(crate) struct Layer {
    tar: PathBuf,
    digest: String,
}

/// Packs a directory into a layer.
pub(crate) fn layer(root: &Path, file: &Path) -> Result<Layer, Failure> {
    tar(root, file, &["."])?;
    let digest = output(Command::new("sha256sum").arg(file))
        .and_then(|line| line.split_whitespace().next().map(str::to_owned))
        .ok_or_else(|| Failure::new("sha256sum does not run"))?;
    Ok(Layer {
        tar: file.to_owned(),
        digest,
    })
}

/// Writes an image to `file`, in the form of `docker save`. Its layers are all in one directory,
/// which gets the image's other files, too.
pub(crate) fn archive(
    name: &str,
    config: &str,
    layers: &[Layer],
    file: &Path,
) -> Result<(), Failure> {
    let failed = |error| Failure::io(format!("make {}", file.display()), &error);
    let work = layers
        .first()
        .and_then(|layer| layer.tar.parent())
        .ok_or_else(|| Failure::new(format!("{name} has no layers")))?;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let list = |word: &dyn Fn(&Layer) -> String| {
        let words: Vec<String> = layers
            .iter()
            .map(|layer| format!("{:?}", word(layer)))
            .collect();
        words.join(",")
    };
    let tar_name = |layer: &Layer| {
        let name = layer.tar.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let digests = list(&|layer| format!("sha256:{}", layer.digest));
    let config =
        format!(r#"{{"architecture":"{architecture}","os":"linux","config":{{{config}}},"#)
            + &format!(r#""rootfs":{{"type":"layers","diff_ids":[{digests}]}}}}"#);
    fs::write(work.join("config.json"), config).map_err(failed)?;
    let tars = list(&tar_name);
    let manifest =
        format!(r#"[{{"Config":"config.json","RepoTags":["{name}"],"Layers":[{tars}]}}]"#);
    fs::write(work.join("manifest.json"), manifest).map_err(failed)?;
    let mut files = vec!["manifest.json".to_owned(), "config.json".to_owned()];
    files.extend(layers.iter().map(tar_name));
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    tar(work, file, &files)
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
