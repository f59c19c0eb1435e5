//! Images made on the spot from Debian's busybox-static, in the form of `docker save`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::command::tool;

/// The image that every machine has.
pub(crate) const HELLO: &str = "localhost/hello:1";

const BUSYBOX: &str = "/bin/busybox";
/// `e_machine` of an ELF file, and the number of AArch64 in it.
const ELF_MACHINE: usize = 18;
const AARCH64: u8 = 183;

/// A layer: paths and what is in them; executable if in `bin`.
pub(crate) struct Layer {
    dir: PathBuf,
}

impl Layer {
    /// A layer of an archive that is made in `work`.
    pub(crate) fn new(work: &Path, name: &str) -> Self {
        let dir = work.join(name);
        fs::create_dir_all(&dir).unwrap();
        Self { dir }
    }

    /// Puts a file into it.
    pub(crate) fn file(self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Self {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Puts busybox with all its names into it, and what a root directory has.
    pub(crate) fn busybox(self) -> Self {
        for dir in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
            fs::create_dir_all(self.dir.join(dir)).unwrap();
        }
        fs::copy(BUSYBOX, self.dir.join("bin/busybox")).unwrap();
        for name in tool(BUSYBOX, &["--list"]).lines() {
            if name != "busybox" {
                symlink("busybox", self.dir.join("bin").join(name)).unwrap();
            }
        }
        self.file(
            "etc/passwd",
            0o644,
            "root:x:0:0:root:/root:/bin/sh\nhello:x:1000:1000::/tmp:/bin/sh\n",
        )
        .file("etc/group", 0o644, "root:x:0:\nhello:x:1000:\n")
    }
}

/// Writes an image of these layers to an archive below `work`, and comes back with its path.
/// `damage` is put at the end of the last layer after its digest was taken.
pub(crate) fn archive(work: &Path, name: &str, layers: &[Layer], damage: &[u8]) -> String {
    let mut files = vec!["manifest.json".to_owned(), "config.json".to_owned()];
    let mut digests = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let file = format!("layer{index}.tar");
        let path = work.join(&file);
        tar(&layer.dir, &path, &["."]);
        let sum = tool("sha256sum", &[path.to_str().unwrap()]);
        let digest = sum.split_whitespace().next().unwrap();
        digests.push(format!("sha256:{digest}"));
        files.push(file);
    }
    if !damage.is_empty() {
        let path = work.join(files.last().unwrap());
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(damage);
        fs::write(&path, bytes).unwrap();
    }
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Cmd": ["sh"], "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": digests },
    });
    let manifest = serde_json::json!([{
        "Config": "config.json",
        "RepoTags": [name],
        "Layers": files[2..],
    }]);
    fs::write(work.join("config.json"), config.to_string()).unwrap();
    fs::write(work.join("manifest.json"), manifest.to_string()).unwrap();
    let archive = work.join("image.tar");
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    tar(work, &archive, &files);
    archive.to_str().unwrap().to_owned()
}

fn tar(dir: &Path, archive: &Path, files: &[&str]) {
    let mut args = vec!["--sort=name", "--mtime=@0", "--owner=0", "--group=0"];
    args.extend(["--numeric-owner", "-C", dir.to_str().unwrap()]);
    args.extend(["-cf", archive.to_str().unwrap()]);
    args.extend(files);
    tool("tar", &args);
}

/// The archive of [`HELLO`]: busybox, and what cannot be run.
pub(crate) fn hello() -> String {
    static ARCHIVE: OnceLock<String> = OnceLock::new();
    let make = || {
        let work = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hello");
        let _ = fs::remove_dir_all(&work);
        let mut foreign = fs::read(BUSYBOX).unwrap();
        foreign[ELF_MACHINE] = AARCH64;
        let system = Layer::new(&work, "system").busybox();
        let programs = Layer::new(&work, "programs")
            .file("bin/foreign", 0o755, &foreign)
            .file("bin/plain", 0o644, "no program\n");
        archive(&work, HELLO, &[system, programs], b"")
    };
    ARCHIVE.get_or_init(make).clone()
}
