//! Images, a registry and a store for the tests.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use skete_image::{Image, PullOptions, Store, parse_reference};
use tempfile::TempDir;

pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// Runs a program and returns what it printed; panics with what it said if it fails.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; is it installed?"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A folder for one test, with a store in it.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(self.path("store")).unwrap()
    }

    /// Makes `layout:tag` with busybox in its first layer and further layers of one file each.
    pub(crate) fn layout(&self, tag: &str, layers: usize) -> String {
        let layout = self.text("layout");
        if !self.path("layout").exists() {
            run("umoci", &["init", "--layout", &layout]);
        }
        let image = format!("{layout}:{tag}");
        run("umoci", &["new", "--image", &image]);
        run(
            "umoci",
            &["insert", "--image", &image, BUSYBOX, "/bin/busybox"],
        );
        for n in 1..layers {
            let file = self.path("file");
            fs::write(&file, format!("{tag} {n}")).unwrap();
            let target = format!("/layers/{n}");
            run(
                "umoci",
                &["insert", "--image", &image, file.to_str().unwrap(), &target],
            );
        }
        run(
            "umoci",
            &[
                "config",
                "--image",
                &image,
                "--config.cmd",
                "/bin/busybox",
                "--config.env",
                "A=b",
                "--config.user",
                "1000:1000",
            ],
        );
        image
    }

    /// Copies an image with skopeo.
    pub(crate) fn copy(&self, from: &str, to: &str, options: &[&str]) {
        let mut args = vec![
            "--insecure-policy",
            "copy",
            "--quiet",
            "--dest-tls-verify=false",
        ];
        args.extend(options);
        args.extend([from, to]);
        run("skopeo", &args);
    }
}

/// Debian's docker-registry on a free port of loopback; it ends with this value.
pub(crate) struct Registry {
    child: Child,
    pub(crate) address: String,
}

impl Registry {
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_with(folder, "")
    }

    /// With further configuration, in YAML.
    pub(crate) fn start_with(folder: &Path, more: &str) -> Self {
        Self::start_as(folder, "", more)
    }

    /// Behind TLS; certificate and key in YAML.
    pub(crate) fn start_with_tls(folder: &Path, tls: &str) -> Self {
        Self::start_as(folder, &format!(", tls: {tls}"), "")
    }

    fn start_as(folder: &Path, http: &str, more: &str) -> Self {
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap();
            let config = folder.join("registry.yml");
            let data = folder.join("registry");
            let text = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
                 http: {{addr: '{free}'{http}}}\n{more}\n",
                data.display()
            );
            fs::write(&config, text).unwrap();
            let child = Command::new("docker-registry")
                .args(["serve".as_ref(), config.as_os_str()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("docker-registry; is it installed?");
            let mut registry = Self {
                child,
                address: free.to_string(),
            };
            // Another process may have taken the port meanwhile; then the next one.
            if registry.is_up() {
                return registry;
            }
        }
        panic!("docker-registry does not start");
    }

    fn is_up(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if TcpStream::connect(&self.address).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Options that do not read this user's docker configuration, with short pauses.
pub(crate) fn options() -> PullOptions {
    let mut options = PullOptions::default();
    options.docker_config = None;
    options.timeouts.backoff = Duration::from_millis(10);
    options
}

pub(crate) fn pull(store: &Store, name: &str) -> Image {
    try_pull(store, name, &options()).unwrap_or_else(|line| panic!("{line}"))
}

/// Pulls, with the error as people see it.
pub(crate) fn try_pull(store: &Store, name: &str, options: &PullOptions) -> Result<Image, String> {
    let result = store.pull(&parse_reference(name).unwrap(), options);
    result.map_err(|error| {
        let line = error.line();
        assert_eq!(line.lines().count(), 1, "{line}");
        line
    })
}

/// Checks an EROFS image with fsck and gives a file's bytes from it.
pub(crate) fn file_in(layer: &Path, file: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let extract = format!("--extract={}", out.display());
    run("fsck.erofs", &[&extract, layer.to_str().unwrap()]);
    fs::read(out.join(file)).unwrap()
}

/// All files below a folder, as paths from it, sorted.
pub(crate) fn files_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    found.sort();
    found
}

/// What is in the making in a store.
pub(crate) fn in_the_making(store: &Store) -> Vec<String> {
    files_below(&store.root().join("tmp"))
}
