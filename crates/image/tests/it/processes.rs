//! Several processes at one store, and processes that die.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use skete_image::{Event, Image, Store};

use crate::common::{Place, Registry, files_below, in_the_making, options, pull, try_pull};
use crate::server::{Entry, FakeImage, Part, Server, tar_of};

/// The example program `pull`, which cargo builds beside the tests.
pub(crate) fn puller(store: &Path, name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    let program = tests
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("examples/pull");
    assert!(
        program.is_file(),
        "cargo builds {} unless told --test",
        program.display()
    );
    let mut command = Command::new(program);
    // Not this user's credentials.
    command
        .env("DOCKER_CONFIG", store)
        .args([store.as_os_str(), name.as_ref()]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_a_killed_pull_leaves_is_gone_at_the_next_opening_and_the_next_pull_succeeds() {
    let image = FakeImage::new(2_000_000);
    let stall = Arc::new(AtomicBool::new(true));
    let stalling = stall.clone();
    let server = image.server_but(Part::Layer, move |image, request, stream| {
        if !stalling.load(Ordering::Relaxed) {
            return image.serve(request, stream);
        }
        let size = image.layer.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
        let _ = std::io::Write::write_all(stream, head.as_bytes());
        let _ = std::io::Write::write_all(stream, &image.layer[..size / 2]);
        std::thread::sleep(Duration::from_secs(20));
    });
    let place = Place::new();
    let root = place.path("store");
    let name = server.name("test:1");
    let child = puller(&root, &name).spawn().unwrap();
    let tmp = root.join("tmp");
    let being_written = |entry: fs::DirEntry| entry.metadata().is_ok_and(|m| m.len() > 100_000);
    wait_until("no layer is being written", || {
        fs::read_dir(&tmp).is_ok_and(|mut entries| entries.any(|e| being_written(e.unwrap())))
    });

    // While it lives, another process leaves its files alone.
    let store = Store::open(&root).unwrap();
    assert_eq!(in_the_making(&store).len(), 2);
    kill(child);
    assert_eq!(in_the_making(&store).len(), 2);
    let store = Store::open(&root).unwrap();

    assert_eq!(in_the_making(&store), [] as [&str; 0]);
    assert!(files_below(&root.join("layers")).is_empty());
    assert!(store.list().unwrap().is_empty());
    stall.store(false, Ordering::Relaxed);
    assert_eq!(pull(&store, &name).layers.len(), 1);
}

/// Numbers from a seed (Knuth's MMIX generator), so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

#[test]
fn a_pull_killed_at_any_moment_leaves_only_whole_layers() {
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut random = Random(seed);
    let place = Place::new();
    let registry = Registry::start(place.folder.path());
    let layout = place.layout("a", 8);
    let name = registry.name("test/image:1");
    place.copy(&format!("oci:{layout}"), &format!("docker://{name}"), &[]);
    let start = Instant::now();
    let whole: Image = pull(&place.store(), &name);
    let time = u64::try_from(start.elapsed().as_micros()).unwrap();
    let expected: Vec<Vec<u8>> = whole
        .layers
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect();
    let root = place.path("killed");

    for round in 0..20 {
        let child = puller(&root, &name).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(time)));
        kill(child);
        let store = Store::open(&root).unwrap();
        assert_eq!(
            in_the_making(&store),
            [] as [&str; 0],
            "seed {seed}, round {round}"
        );
        for (diff_id, bytes) in whole.diff_ids.iter().zip(&expected) {
            let path = store.layer_path(diff_id);
            if path.exists() {
                assert!(
                    fs::read(path).unwrap() == *bytes,
                    "seed {seed}, round {round}"
                );
            }
        }
        if let Some(image) = store.get(&name).unwrap() {
            assert_eq!(image.layers.len(), 8, "seed {seed}, round {round}");
            store.remove(&[&name], false).unwrap();
        }
        if round % 3 == 0 {
            store.prune(true).unwrap();
            assert!(
                files_below(&root.join("layers")).is_empty(),
                "seed {seed}, round {round}"
            );
        }
    }
    assert_eq!(pull(&Store::open(&root).unwrap(), &name).id, whole.id);
}

fn finish(child: Child) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn processes_that_pull_one_image_convert_each_layer_once() {
    let image = FakeImage::new(500_000);
    let server = image.server_but(Part::Layer, |image, request, stream| {
        // Long enough for all to want it.
        std::thread::sleep(Duration::from_millis(500));
        image.serve(request, stream);
    });
    let place = Place::new();
    let root = place.path("store");
    let name = server.name("test:1");

    let children: Vec<Child> = (0..4)
        .map(|_| puller(&root, &name).spawn().unwrap())
        .collect();
    let mut printed: Vec<String> = children.into_iter().map(finish).collect();

    printed.dedup();
    assert_eq!(printed.len(), 1);
    let fetched = server
        .requests()
        .iter()
        .filter(|r| image.part(r) == Part::Layer)
        .count();
    assert_eq!(fetched, 1);
}

#[test]
fn a_waiting_pull_takes_over_from_one_that_died() {
    let image = FakeImage::new(500_000);
    let first = AtomicBool::new(true);
    let server = image.server_but(Part::Layer, move |image, request, stream| {
        if first.swap(false, Ordering::Relaxed) {
            std::thread::sleep(Duration::from_secs(20));
        }
        image.serve(request, stream);
    });
    let place = Place::new();
    let root = place.path("store");
    let name = server.name("test:1");
    let asked = || {
        server
            .requests()
            .iter()
            .filter(|r| image.part(r) == Part::Layer)
            .count()
    };
    let dying = puller(&root, &name).spawn().unwrap();
    wait_until("the layer is not asked for", || asked() == 1);
    let waiting = puller(&root, &name).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(asked(), 1);

    kill(dying);

    finish(waiting);
    assert_eq!(asked(), 2);
}

#[test]
fn a_prune_in_the_middle_of_a_pull_takes_nothing_from_it() {
    let place = Place::new();
    let registry = Registry::start(place.folder.path());
    let layout = place.layout("a", 4);
    let name = registry.name("test/image:1");
    place.copy(&format!("oci:{layout}"), &format!("docker://{name}"), &[]);
    let store = place.store();
    let other = Store::open(store.root()).unwrap();
    let prunes = Arc::new(Mutex::new(0));
    let counted = prunes.clone();
    let mut options = options();
    options.progress = Arc::new(move |event: &Event<'_>| {
        if let Event::LayerDone { .. } = event {
            assert_eq!(other.prune(true).unwrap().freed, 0);
            *counted.lock().unwrap() += 1;
        }
    });

    let image = try_pull(&store, &name, &options).unwrap();

    assert_eq!((image.layers.len(), *prunes.lock().unwrap()), (4, 4));
}

/// Pulls into a store on a disk of its own of so many bytes, which goes with the process's mount
/// namespace; gives what the puller said and what was left in the making.
fn pull_onto_small_disk(server: &Server, bytes: u32) -> (String, String) {
    let place = Place::new();
    let disk = place.path("disk");
    fs::create_dir(&disk).unwrap();
    let command = puller(&disk, &server.name("test:1"));
    let program = PathBuf::from(command.get_program());
    let script = format!(
        "mount -t tmpfs -o size={bytes} none {disk} && ! {} {disk} {} && ls {disk}/tmp {disk}/images",
        program.display(),
        server.name("test:1"),
        disk = disk.display(),
    );
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", &script])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let left = String::from_utf8(output.stdout).unwrap();
    let left = left
        .lines()
        .filter(|line| !line.is_empty() && !line.ends_with(':'))
        .collect();
    (stderr, left)
}

#[test]
fn a_full_disk_is_told_and_nothing_is_left_on_it() {
    let image = FakeImage::new(1_000_000);
    let server = Server::start(move |request, stream| image.serve(request, stream));
    let (line, left) = pull_onto_small_disk(&server, 500_000);
    assert!(
        line.contains("its layers have 1000") && line.contains("bytes to fetch"),
        "{line}"
    );
    assert_eq!(left, "");

    // Small to fetch and large to keep.
    let content = b"content ".repeat(1_000_000);
    let image = FakeImage::of_tar(&tar_of(&[Entry::file("content", &content)]));
    let server = Server::start(move |request, stream| image.serve(request, stream));
    let (line, left) = pull_onto_small_disk(&server, 1_000_000);
    assert!(
        line.contains("no space is left for it on the store's disk; free some"),
        "{line}"
    );
    assert_eq!((line.lines().count(), left.as_str()), (1, ""));
}

#[test]
fn a_store_that_cannot_be_made_is_named() {
    let place = Place::new();
    let file = place.path("file");
    fs::write(&file, "").unwrap();
    let line = Store::open(file.join("store")).unwrap_err().to_string();
    assert!(
        line.starts_with(&format!("cannot make {}/store/layers", file.display())),
        "{line}"
    );
}
