//! A machine for one test: roots and a network namespace of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::command::{Ended, finish, tool};
use super::{image, leftovers};

/// No command takes longer, be the machine ever so busy.
const PATIENCE_SECONDS: &str = "240";

/// A machine for one test. When it is dropped after a test that went well, nothing may be left.
pub(crate) struct Machine {
    dir: TempDir,
    netns: String,
    skete: PathBuf,
    ids: Arc<Mutex<BTreeSet<String>>>,
    over: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

impl Machine {
    /// A machine with the image `localhost/hello:1` on it.
    pub(crate) fn new() -> Self {
        let machine = Self::bare();
        machine
            .skete(&["image", "load", "-q", "-i", &image::hello()])
            .exits(0);
        machine
    }

    /// A machine without images.
    pub(crate) fn bare() -> Self {
        let stage = std::env::var("SKETE_TEST_STAGE").unwrap_or_default();
        let skete = Path::new(&stage).join("bin/skete");
        assert!(
            !stage.is_empty() && skete.is_file(),
            "SKETE_TEST_STAGE={stage:?} names no staged installation: run `cargo xtask test`"
        );
        // Short: the sockets below it have long names, and a socket's path at most 107 bytes.
        let dir = tempfile::Builder::new()
            .prefix("sk.")
            .tempdir_in("/tmp")
            .unwrap();
        let name = dir.path().file_name().unwrap().to_string_lossy();
        let netns = format!("test-{name}");
        tool("ip", &["netns", "add", &netns]);
        tool("ip", &["-n", &netns, "link", "set", "lo", "up"]);
        let (ids, over) = (Arc::default(), Arc::default());
        let watcher = watch_ids(
            dir.path().join("r/pods"),
            Arc::clone(&ids),
            Arc::clone(&over),
        );
        Self {
            dir,
            netns,
            skete,
            ids,
            over,
            watcher: Some(watcher),
        }
    }

    /// A path in its directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file into its directory; comes back with the path.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A command in the machine's network.
    pub(crate) fn command(&self, program: impl AsRef<Path>, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.netns))
            .arg(program.as_ref())
            .args(args);
        self.with_roots(&mut command);
        command
    }

    fn with_roots(&self, command: &mut Command) {
        command
            .env("SKETE_ROOT", self.path("r"))
            .env("SKETE_RUN_ROOT", self.path("u"));
    }

    /// `skete`, not started yet: its process id will be that of `skete` itself.
    pub(crate) fn start(&self, args: &[&str]) -> Command {
        self.command(&self.skete, args)
    }

    /// Path of the program.
    pub(crate) fn program(&self) -> &str {
        self.skete.to_str().unwrap()
    }

    /// Runs `skete` to its end.
    #[track_caller]
    pub(crate) fn skete(&self, args: &[&str]) -> Ended {
        self.skete_with(args, b"")
    }

    /// Runs `skete` with this on its standard input.
    #[track_caller]
    pub(crate) fn skete_with(&self, args: &[&str], input: &[u8]) -> Ended {
        let mut words = vec!["-k", "5", PATIENCE_SECONDS, self.program()];
        words.extend(args);
        let mut ended = finish(self.command("timeout", &words), input);
        ended.line = format!("skete {}", args.join(" "));
        assert!(
            ended.code != 124 && ended.code != -1,
            "`{}` takes too long",
            ended.line
        );
        ended
    }

    /// Runs a tool in the machine's network; it must not fail.
    #[track_caller]
    pub(crate) fn tool(&self, program: &str, args: &[&str]) -> String {
        finish(self.command(program, args), b"").exits(0).out()
    }

    /// Starts a Pod that goes on; comes back with its id.
    #[track_caller]
    pub(crate) fn detached(&self, args: &[&str]) -> String {
        let mut words = vec!["run", "-d"];
        words.extend(args);
        let ended = self.skete(&words).exits(0);
        let id = ended.out().trim().to_owned();
        assert_eq!(id.len(), 64, "`{}` wrote {id:?}", ended.line);
        id
    }

    /// What `skete inspect` says of a Pod.
    #[track_caller]
    pub(crate) fn inspect(&self, pod: &str) -> serde_json::Value {
        let ended = self.skete(&["inspect", pod]).exits(0);
        ended.json()[0].take()
    }

    /// The ids of all Pods that were ever put on record here.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.ids.lock().unwrap().clone()
    }

    /// A network outside of the machine: the machine is 192.0.2.1 there, and it is 192.0.2.2.
    pub(crate) fn outside(&self) -> Outside {
        let outside = Outside {
            netns: format!("{}-out", self.netns),
        };
        let name = &outside.netns;
        tool("ip", &["netns", "add", name]);
        let of_peer = ["peer", "name", "uplink", "netns", &self.netns];
        let link = ["-n", name, "link", "add", "uplink", "type", "veth"];
        tool("ip", &[&link[..], &of_peer].concat());
        for (netns, address) in [(&self.netns, "192.0.2.1/24"), (name, "192.0.2.2/24")] {
            tool(
                "ip",
                &["-n", netns, "address", "add", address, "dev", "uplink"],
            );
            tool("ip", &["-n", netns, "link", "set", "uplink", "up"]);
        }
        outside
    }

    /// What is left of Pods that are not there any more; nothing if all is well.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        leftovers::find(self.dir.path(), &self.netns, &self.ids())
    }

    /// What there is to see of Pods when a test has failed.
    fn tell(&self) {
        for id in self.ids() {
            for file in ["pod.json", "follower.log"] {
                let path = self.path("r/pods").join(&id).join(file);
                if let Ok(text) = std::fs::read_to_string(&path) {
                    eprintln!("-- {}\n{text}", path.display());
                }
            }
        }
    }

    fn clean(&mut self) {
        let mut rm = self.start(&["rm", "-f", "-a"]);
        // A test that failed has been told of already.
        let _ = rm.output();
        self.over.store(true, Ordering::Relaxed);
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
        let _ = Command::new("ip")
            .args(["netns", "del", &self.netns])
            .status();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let left = if failed {
            self.tell();
            Vec::new()
        } else {
            // Whoever ends a Pod in the foreground has ended; one that ends by itself is about to.
            let (patience, began) = (Duration::from_secs(10), Instant::now());
            loop {
                let left = self.leftovers();
                if left.is_empty() || began.elapsed() > patience {
                    break left;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        if !left.is_empty() {
            self.tell();
        }
        self.clean();
        assert!(left.is_empty(), "left behind:\n{}", left.join("\n"));
    }
}

/// A network namespace beside a machine's. Whoever runs in it is to be ended before it is dropped.
pub(crate) struct Outside {
    netns: String,
}

impl Outside {
    /// A command in it.
    pub(crate) fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.netns))
            .arg(program)
            .args(args);
        command
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "del", &self.netns])
            .status();
    }
}

/// Remembers the ids of all Pods, also of those that are removed at once: what they leave behind
/// is found by these ids.
fn watch_ids(
    pods: PathBuf,
    ids: Arc<Mutex<BTreeSet<String>>>,
    over: Arc<AtomicBool>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            for entry in std::fs::read_dir(&pods).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.len() == 64 {
                    ids.lock().unwrap().insert(name);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(120) {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("waited in vain: {what}");
}
