//! The program `skete-vsock` from outside, with no guest.

// Clippy allows these in tests, but not in what tests call.
#![allow(clippy::expect_used, clippy::unwrap_used)]

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::io::FdFlags;
use rustix::process::{Pid, Signal};

const PATIENCE: Duration = Duration::from_secs(20);

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_skete-vsock"))
}

/// The device with both sockets in `dir`, once it listens.
fn start(dir: &Path) -> Child {
    let child = program()
        .arg("--socket")
        .arg(dir.join("vhost"))
        .arg("--uds-path")
        .arg(dir.join("v"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until(|| UnixStream::connect(dir.join("v")).is_ok());
    child
}

fn until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "it takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until(|| {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

/// Standard error, which must be one line.
fn line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim_end().to_owned()
}

#[test]
fn it_ends_well_and_removes_its_sockets_when_the_monitor_disconnects() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path());

    let monitor = UnixStream::connect(dir.path().join("vhost")).unwrap();
    drop(monitor);

    assert!(end(&mut child).success());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn it_ends_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path());

    rustix::process::kill_process(Pid::from_child(&child), Signal::TERM).unwrap();

    assert!(!end(&mut child).success());
}

#[test]
fn it_takes_over_the_sockets_of_one_that_was_killed_but_not_of_one_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    let mut killed = start(dir.path());
    killed.kill().unwrap();
    killed.wait().unwrap();

    let mut child = start(dir.path());
    let output = program()
        .arg("--socket")
        .arg(dir.path().join("other"))
        .arg("--uds-path")
        .arg(dir.path().join("v"))
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    let path = dir.path().join("v");
    assert!(line(&output).contains(&format!("cannot listen on {}", path.display())));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn it_serves_inherited_sockets_from_before_it_was_started() {
    let dir = tempfile::tempdir().unwrap();
    let vhost = UnixListener::bind(dir.path().join("vhost")).unwrap();
    let host = UnixListener::bind(dir.path().join("v")).unwrap();
    for listener in [&vhost, &host] {
        rustix::io::fcntl_setfd(listener, FdFlags::empty()).unwrap();
    }
    let monitor = UnixStream::connect(dir.path().join("vhost")).unwrap();
    let mut client = UnixStream::connect(dir.path().join("v")).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut child = program()
        .args(["--socket-fd", &vhost.as_raw_fd().to_string()])
        .args(["--uds-fd", &host.as_raw_fd().to_string()])
        .arg("--uds-path")
        .arg(dir.path().join("v"))
        .spawn()
        .unwrap();

    client.write_all(b"nonsense\n").unwrap();
    let closed = client.read(&mut [0]);
    assert!(
        matches!(closed, Ok(0)) || closed.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
    );
    drop(monitor);

    assert!(end(&mut child).success());
}

#[test]
fn what_is_not_a_listening_socket_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (connected, _other) = UnixStream::pair().unwrap();
    rustix::io::fcntl_setfd(&connected, FdFlags::empty()).unwrap();
    for fd in [connected.as_raw_fd(), 900] {
        let output = program()
            .args(["--socket-fd", &fd.to_string()])
            .arg("--uds-path")
            .arg(dir.path().join("v"))
            .output()
            .unwrap();

        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            line(&output),
            format!("skete-vsock: file descriptor {fd} is not a listening Unix socket")
        );
    }
}

#[test]
fn an_orphan_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let output = program()
        .args(["--parent", "1", "--socket"])
        .arg(dir.path().join("vhost"))
        .arg("--uds-path")
        .arg(dir.path().join("v"))
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert_eq!(line(&output), "skete-vsock: the parent process 1 has ended");
}

#[test]
fn it_dies_with_the_thread_that_started_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();

    let mut child = std::thread::spawn(move || start(&path)).join().unwrap();

    let status = end(&mut child);
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(Signal::KILL.as_raw())
    );
}

#[test]
fn a_wrong_command_line_is_one_line_and_exit_code_2() {
    let output = program().arg("--nonsense").output().unwrap();

    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        line(&output),
        "skete-vsock: unknown argument \"--nonsense\"; see --help"
    );
}

#[test]
fn a_monitor_that_talks_nonsense_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path());

    let mut monitor = UnixStream::connect(dir.path().join("vhost")).unwrap();
    monitor.write_all(&[0xff; 64]).unwrap();

    assert_eq!(end(&mut child).code(), Some(1));
    let mut text = String::new();
    child.stderr.unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("skete-vsock: cannot serve the monitor's vhost-user connection: "));
}

#[test]
fn thousands_of_silent_programs_do_not_make_it_spin() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(dir.path());
    let _silent: Vec<UnixStream> = (0..900)
        .filter_map(|_| UnixStream::connect(dir.path().join("v")).ok())
        .collect();
    std::thread::sleep(Duration::from_millis(200));

    let before = ticks(&child);
    std::thread::sleep(Duration::from_millis(500));

    assert!(ticks(&child) - before <= 5);
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What it has used of a processor, in hundredths of a second.
fn ticks(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = fields.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
