use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::lock::tests::spawn;

fn sleeper() -> Child {
    let mut command = Command::new("sleep");
    spawn(command.arg("100").stdin(Stdio::null())).unwrap()
}

#[test]
fn a_process_lives_until_it_is_killed() {
    let mut child = sleeper();
    let process = Process::of(child.id()).unwrap();
    assert!(process.is_alive());

    process.kill();

    // A zombie has ended, before anybody has asked for its exit code.
    let deadline = Instant::now() + Duration::from_secs(5);
    while process.is_alive() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!child.wait().unwrap().success());
}

#[test]
fn another_process_with_the_same_number_is_not_killed() {
    let mut child = sleeper();
    let process = Process::of(child.id()).unwrap();
    let earlier = Process {
        began: process.began - 1,
        ..process
    };

    earlier.kill();

    assert!(!earlier.is_alive());
    assert!(process.is_alive());
    child.kill().unwrap();
    child.wait().unwrap();
}
