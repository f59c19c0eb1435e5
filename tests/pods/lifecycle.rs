//! A Pod's life after `skete run -d`, and what the other commands say of it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{HELLO, Machine, Terminal, eventually, kill};

/// Writes a line each second, and says goodbye when it is asked to end.
const SERVICE: &str = "trap 'echo bye; exit 7' TERM INT; n=0; \
                       while :; do n=$((n + 1)); echo line $n; sleep 1; done";

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn every_command_says_of_a_pod_what_it_does() {
    let machine = Machine::new();
    let id = machine.detached(&["--name", "web", "-l", "app=a", HELLO, "sh", "-c", SERVICE]);

    let table = machine.skete(&["ps"]).exits(0).out();
    let (head, row) = table.split_once('\n').unwrap();
    assert!(head.starts_with("POD ID "), "{head}");
    assert!(row.starts_with(&id[..12]) && row.contains(" Up "), "{row}");
    assert!(row.trim_end().ends_with(" web"), "{row}");
    assert_eq!(machine.skete(&["ps", "-q", "--no-trunc"]).out().trim(), id);
    let rows = machine
        .skete(&["ps", "-o", "json", "-f", "label=app=a"])
        .json();
    assert_eq!(rows[0]["id"], *id);
    assert_eq!(rows[0]["phase"], "Running");
    assert_eq!(machine.skete(&["ps", "-q", "-f", "label=app=b"]).out(), "");

    // Standard output, standard error, exit code and standard input of a further process.
    let script = "cat; echo err >&2; ps | grep -c sleep; exit 9";
    let words = ["exec", "-i", "-e", "A=b", "web", "sh", "-c", script];
    let ended = machine.skete_with(&words, b"typed\n").exits(9);
    assert!(ended.out().starts_with("typed\n"), "{}", ended.out());
    assert_eq!(ended.stderr, "err\n");
    machine
        .skete(&["exec", "web", "nowhere"])
        .refuses(127, &["nowhere"]);

    // More than all the pipes on the way hold, to one that reads it and to one that does not.
    let much = vec![b'x'; 3 << 20];
    let ended = machine
        .skete_with(&["exec", "-i", "web", "cat"], &much)
        .exits(0);
    assert!(
        ended.stdout == much,
        "{} bytes came back",
        ended.stdout.len()
    );
    machine
        .skete_with(&["exec", "-i", "web", "true"], &much)
        .exits(0);

    let record = machine.inspect("web");
    assert_eq!(record["containers"][0]["state"], "Running");
    assert_eq!(record["labels"]["app"], "a");
    let stats = machine
        .skete(&["stats", "--no-stream", "-o", "json"])
        .exits(0)
        .json();
    assert_eq!(stats[0]["name"], "web");
    assert!(stats[0]["memoryMib"].as_u64().unwrap() > 0, "{stats}");
    let top = machine.skete(&["top", "web"]).exits(0).out();
    assert!(top.contains("web "), "{top}");

    machine
        .skete(&["rm", "web"])
        .refuses(125, &["web", "running"]);
    machine
        .skete(&["run", "-q", "--name", "web", HELLO])
        .refuses(125, &["web", "in use"]);

    // What follows the log sees it to its end.
    let mut follow = machine.start(&["logs", "-f", "web"]);
    let follow = follow.stdout(Stdio::piped()).spawn().unwrap();
    let mut wait = machine.start(&["wait", "web"]);
    let wait = wait.stdout(Stdio::piped()).spawn().unwrap();
    let began = Instant::now();
    machine.skete(&["stop", "-t", "60", "web"]).exits(0);
    assert!(began.elapsed() < Duration::from_secs(50), "it was killed");
    let followed = follow.wait_with_output().unwrap();
    let followed = String::from_utf8_lossy(&followed.stdout).into_owned();
    assert!(followed.starts_with("line 1\n"), "{followed}");
    assert!(followed.ends_with("\nbye\n"), "{followed}");
    let waited = wait.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&waited.stdout).trim(), "7");

    assert_eq!(machine.skete(&["ps", "-q"]).out(), "");
    let table = machine.skete(&["ps", "-a"]).out();
    assert!(table.contains("Exited (7)"), "{table}");
    let tail = machine.skete(&["logs", "-n", "1", "web"]).out();
    assert_eq!(tail, "bye\n");
    let record = machine.inspect("web");
    assert_eq!(record["end"]["reason"], "Stopped");
    assert_eq!(record["containers"][0]["terminated"]["exitCode"], 7);
    machine
        .skete(&["exec", "web", "true"])
        .refuses(125, &["web"]);
    machine.skete(&["rm", "web"]).exits(0);
    assert_eq!(machine.skete(&["ps", "-a", "-q"]).out(), "");
    machine.skete(&["inspect", "web"]).refuses(125, &["web"]);
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_pod_that_does_not_heed_signals_is_killed() {
    let machine = Machine::new();
    let first = machine.detached(&["--network", "none", HELLO, "sleep", "1000"]);
    let second = machine.detached(&["--network", "none", "--rm", HELLO, "sleep", "1000"]);
    machine.skete(&["kill", &first[..12]]).exits(0);
    let waited = machine.skete(&["wait", &first]).exits(0);
    assert_eq!(waited.out().trim(), "137");
    assert_eq!(machine.inspect(&first)["end"]["exitCode"], 137);

    machine.skete(&["stop", "-t", "1", &second]).exits(0);
    let names = machine.skete(&["ps", "-a", "-q", "--no-trunc"]).out();
    assert_eq!(names.trim(), first);

    // With --rm its follower removes it too, and neither is in the other's way.
    for flags in [&["-q"][..], &["--rm"], &["--rm"], &["--rm"]] {
        let flags = [flags, &["--network", "none", HELLO, "sleep", "1000"]].concat();
        let id = machine.detached(&flags);
        let removed = machine.skete(&["rm", "-f", &id]).exits(0);
        assert_eq!(removed.stderr, "");
        let names = machine.skete(&["ps", "-a", "-q", "--no-trunc"]).out();
        assert_eq!(names.trim(), first);
    }
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_pod_outlives_whoever_started_it() {
    let machine = Machine::new();
    let is_up = |name: &str| {
        let filter = format!("name={name}");
        let rows = machine.skete(&["ps", "-o", "json", "-f", &filter]).exits(0);
        (rows.json()[0]["phase"] == "Running").then_some(())
    };
    let words = [
        "run",
        "-q",
        "--name",
        "a",
        "--network",
        "none",
        HELLO,
        "sh",
        "-c",
        SERVICE,
    ];
    let mut run = machine.start(&words);
    let mut run = run.stdout(Stdio::null()).spawn().unwrap();
    eventually("Pod a runs", || is_up("a"));
    kill(run.id());
    run.wait().unwrap();

    // A terminal that is closed: SIGHUP.
    let run = machine.start(&[
        "run",
        "-q",
        "-it",
        "--name",
        "b",
        "--network",
        "none",
        HELLO,
    ]);
    let terminal = Terminal::start(&run, 80, 24);
    terminal.shows("# ");
    let mut closed = terminal.close();
    eventually("the end of skete run", || closed.try_wait().unwrap());

    is_up("a").expect("Pod a runs on");
    is_up("b").expect("Pod b runs on");
    let before = machine.skete(&["logs", "a"]).out();
    eventually("a further line of Pod a", || {
        (machine.skete(&["logs", "a"]).out().len() > before.len()).then_some(())
    });
    // It can be attached to again.
    let attach = machine.start(&["attach", "b"]);
    let mut terminal = Terminal::start(&attach, 80, 24);
    terminal.type_in("echo $((6 * 7)); exit 3\n");
    terminal.shows("42");
    assert_eq!(terminal.exit_code(), 3);

    machine.skete(&["stop", "a"]).exits(0);
    assert_eq!(machine.inspect("a")["end"]["exitCode"], 7);
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn ctrl_c_ends_a_pod_in_good_order_and_exec_has_a_terminal() {
    let machine = Machine::new();
    let words = [
        "run",
        "--name",
        "a",
        "--network",
        "none",
        HELLO,
        "sh",
        "-c",
        SERVICE,
    ];
    let run = machine.start(&words);
    let mut front = Terminal::start(&run, 80, 24);
    front.shows("line 1");

    let exec = machine.start(&["exec", "-it", "a", "sh"]);
    let mut terminal = Terminal::start(&exec, 77, 22);
    terminal.shows("# ");
    terminal.type_in("stty size\n");
    terminal.shows("22 77");
    terminal.type_in("exit 6\n");
    assert_eq!(terminal.exit_code(), 6);

    front.type_in("\x03");
    front.shows("bye");
    assert_eq!(front.exit_code(), 7);
}

/// Counts its runs in a directory that outlives them, and succeeds in the second.
const SECOND_TIME: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: again, annotations: {io.skete.network: none}}
spec:
  restartPolicy: OnFailure
  volumes: [{name: runs, emptyDir: {}}]
  containers:
  - name: again
    image: localhost/hello:1
    command: [sh, -c, "echo run >> /runs/all; cat /runs/all; test $(wc -l < /runs/all) = 2"]
    volumeMounts: [{name: runs, mountPath: /runs}]
"#;

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_container_is_started_again_as_its_pod_says() {
    let machine = Machine::new();
    let file = machine.file("again.yaml", SECOND_TIME);
    let said = machine.skete(&["run", "-q", &file]).exits(0).out();
    assert_eq!(said, "run\nrun\nrun\n");
    let record = machine.inspect("again");
    assert_eq!(record["containers"][0]["restarts"], 1, "{record}");
    assert_eq!(record["end"]["exitCode"], 0, "{record}");

    let words = ["--restart", "no", HELLO, "sh", "-c", "exit 4"];
    let words = [
        &["run", "-q", "--name", "never", "--network", "none"],
        &words[..],
    ]
    .concat();
    machine.skete(&words).exits(4);
    assert_eq!(machine.inspect("never")["containers"][0]["restarts"], 0);

    // Also after a success; and what is ended by hand stays ended.
    let words = ["--restart", "always", HELLO, "true"];
    machine.detached(&[&["--name", "always", "--network", "none"], &words[..]].concat());
    eventually("a second run", || {
        let record = machine.inspect("always");
        (record["containers"][0]["restarts"].as_u64()? > 0).then_some(())
    });
    machine.skete(&["stop", "always"]).exits(0);
    assert_eq!(machine.inspect("always")["end"]["reason"], "Stopped");
}
