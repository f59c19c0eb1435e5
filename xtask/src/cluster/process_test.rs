use super::*;

fn sleeper() -> std::process::Child {
    Command::new("sleep").arg("600").spawn().expect("sleep")
}

#[test]
fn the_start_time_is_found_behind_a_name_with_brackets_and_spaces() {
    let fields = |state: &str| format!("7 (a ) b) {state} {} 4711 9", ["0"; 18].join(" "));
    assert_eq!(parse_stat(&fields("S")), Some(4711));
    assert_eq!(parse_stat(&fields("Z")), None);
    assert_eq!(parse_stat("7 (a"), None);
}

#[test]
fn a_recorded_process_is_found_again_and_ended() {
    let dir = std::env::temp_dir().join(format!("skete-xtask-{}", std::process::id()));
    let mut child = sleeper();
    let process = Process::of(child.id().try_into().unwrap()).expect("it lives");
    process.record(&dir).expect("recorded");
    let found = Process::recorded(&dir).expect("a record");
    fs::remove_file(&dir).expect("removed");
    assert_eq!(found, process);
    assert!(found.lives());
    found.end(Duration::from_secs(5)).expect("ended");
    assert!(!found.lives());
    child.wait().expect("waited");
}

#[test]
fn another_process_of_the_same_number_is_left_alone() {
    let mut child = sleeper();
    let process = Process::of(child.id().try_into().unwrap()).expect("it lives");
    let earlier = Process {
        started: process.started - 1,
        ..process.clone()
    };
    let other_boot = Process {
        boot: "another".to_owned(),
        ..process.clone()
    };
    for stranger in [earlier, other_boot] {
        assert!(!stranger.lives());
        stranger.end(Duration::ZERO).expect("nothing to do");
    }
    assert!(process.lives());
    child.kill().expect("killed");
    child.wait().expect("waited");
}
