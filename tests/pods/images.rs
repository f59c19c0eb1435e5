//! Images from where users have them.

use std::fs;

use crate::support::{Background, HELLO, Layer, Machine, archive, eventually, hello, tool};

/// A registry on the loopback of a test's machine.
struct Registry(#[expect(dead_code, reason = "ends it when dropped")] Background);

impl Registry {
    const ADDRESS: &str = "127.0.0.1:5000";

    fn start(machine: &Machine) -> Self {
        let data = machine.path("registry");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: \"{}\"}}\n",
            data.display(),
            Self::ADDRESS
        );
        let config = machine.file("registry.yml", config);
        let mut serve = machine.command("docker-registry", &["serve", &config]);
        let registry = Self(Background::start(&mut serve));
        let script = format!("exec 3<>/dev/tcp/{}", Self::ADDRESS.replace(':', "/"));
        eventually("the registry listens", || {
            let mut connect = machine.command("bash", &["-c", &script]);
            connect.output().unwrap().status.success().then_some(())
        });
        registry
    }

    fn push(machine: &Machine, archive: &str, name: &str) {
        let to = format!("docker://{}/{name}", Self::ADDRESS);
        let from = format!("docker-archive:{archive}");
        machine.tool(
            "skopeo",
            &[
                "copy",
                "-q",
                "--insecure-policy",
                "--dest-tls-verify=false",
                &from,
                &to,
            ],
        );
    }
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn an_image_is_pulled_when_it_is_run_and_what_is_not_there_is_told_in_one_line() {
    let machine = Machine::bare();
    let registry = Registry::start(&machine);
    Registry::push(&machine, &hello(), "hello:1");
    let image = format!("{}/hello:1", Registry::ADDRESS);

    let ended = machine.skete(&[
        "run",
        "--rm",
        "-q",
        "--network",
        "none",
        &image,
        "echo",
        "here",
    ]);
    assert_eq!(ended.exits(0).out(), "here\n");
    let images = machine.skete(&["image", "ls", "-o", "json"]).exits(0).out();
    assert!(images.contains("127.0.0.1:5000/hello"), "{images}");

    let none = format!("{}/hello:2", Registry::ADDRESS);
    machine.skete(&["run", "-q", &none]).refuses(125, &[&none]);
    let none = format!("{}/none:1", Registry::ADDRESS);
    machine.skete(&["pull", "-q", &none]).refuses(125, &[&none]);
    // Nobody listens there.
    let none = "127.0.0.1:5001/hello:1";
    machine.skete(&["pull", "-q", none]).refuses(125, &[none]);

    // A registry that sends other bytes than it was asked for.
    machine.skete(&["rmi", &image]).exits(0);
    let mut damaged = 0;
    for entry in walk(&machine.path("registry")) {
        if entry.ends_with("/data") && fs::metadata(&entry).unwrap().len() > 100_000 {
            let mut bytes = fs::read(&entry).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&entry, bytes).unwrap();
            damaged += 1;
        }
    }
    assert!(damaged > 0, "no layer in the registry");
    machine
        .skete(&["run", "-q", &image])
        .refuses(125, &["sha256:"]);
    drop(registry);
    assert_eq!(machine.skete(&["ps", "-a", "-q"]).exits(0).out(), "");
    let rest = walk(&machine.path("r/images/tmp"));
    assert_eq!(rest, Vec::<String>::new(), "what was half pulled");
}

fn walk(dir: &std::path::Path) -> Vec<String> {
    let found = tool("find", &[dir.to_str().unwrap(), "-type", "f"]);
    found.lines().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn an_image_of_sixty_layers_runs() {
    let machine = Machine::bare();
    let work = machine.path("work");
    let mut layers = vec![Layer::new(&work, "system").busybox()];
    for number in 1..60 {
        // Each has a file of its own, and one that the next replaces.
        let layer = Layer::new(&work, &format!("layer-{number}"))
            .file(&format!("layers/{number}"), 0o644, format!("{number}\n"))
            .file("top", 0o644, format!("{number}\n"));
        layers.push(layer);
    }
    let archive = archive(&work, "localhost/deep:1", &layers, b"");
    machine.skete(&["load", "-q", "-i", &archive]).exits(0);
    let script = "cat /top; cat /layers/* | sort -n | uniq | wc -l";
    let words = [
        "run",
        "--rm",
        "-q",
        "--network",
        "none",
        "localhost/deep:1",
        "sh",
        "-c",
        script,
    ];
    assert_eq!(machine.skete(&words).exits(0).out(), "59\n59\n");
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn an_archive_that_is_not_what_it_says_is_refused() {
    let machine = Machine::bare();
    let work = machine.path("work");
    let layers = [Layer::new(&work, "system").file("etc/x", 0o644, "x\n")];
    let damaged = archive(&work, HELLO, &layers, &[1; 512]);
    machine
        .skete(&["load", "-q", "-i", &damaged])
        .refuses(125, &["sha256:"]);
    let text = machine.file("text.tar", "no archive\n");
    machine
        .skete(&["load", "-q", "-i", &text])
        .refuses(125, &["text.tar"]);
    let whole = fs::read(hello()).unwrap();
    let cut = machine.file("cut.tar", &whole[..whole.len() / 2]);
    machine
        .skete(&["load", "-q", "-i", &cut])
        .refuses(125, &["cut.tar"]);
    machine
        .skete_with(&["load", "-q"], b"")
        .refuses(125, &["standard input"]);
    // From standard input, as `docker save` gives it.
    machine.skete_with(&["load", "-q"], &whole).exits(0);
    assert_eq!(machine.skete(&["images", "-q"]).out().lines().count(), 1);
    machine.skete(&["rmi", HELLO]).exits(0);
    assert_eq!(machine.skete(&["images", "-q"]).out(), "");
}
