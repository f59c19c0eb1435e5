use std::process::{Child, Command, Stdio};
use std::sync::RwLockReadGuard;

use super::*;
use crate::lock::tests::{no_forks, spawn};
use crate::pods;
use crate::record::Phase;
use crate::record::tests::example;

struct Root {
    _directory: tempfile::TempDir,
    paths: Paths,
    no_forks: Option<RwLockReadGuard<'static, ()>>,
}

fn root() -> Root {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::new(directory.path().join("root"), directory.path().join("run"));
    Root {
        _directory: directory,
        paths,
        no_forks: Some(no_forks()),
    }
}

/// A process that holds a Pod's lock as its follower does: by its standard input.
fn follower(root: &mut Root, lock: &Lock) -> Child {
    root.no_forks = None;
    let mut command = Command::new("sleep");
    command
        .arg("100")
        .stdin(lock.share().unwrap())
        .stdout(Stdio::null());
    let child = spawn(&mut command).unwrap();
    root.no_forks = Some(no_forks());
    child
}

fn carry_out_now(paths: &Paths, work: Work) -> Vec<String> {
    crate::runtime().unwrap().block_on(carry_out(paths, work))
}

#[test]
fn nothing_is_to_be_done_where_nothing_is() {
    let root = root();
    assert!(look(&root.paths).unwrap().is_empty());
}

#[test]
fn a_pod_whose_follower_lives_is_left_alone() {
    let mut root = root();
    let record = example("one");
    let lock = pods::create(&root.paths, &record, b"{}").unwrap();
    let mut child = follower(&mut root, &lock);
    drop(lock);

    let work = look(&root.paths).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    assert!(work.is_empty(), "{work:?}");
}

#[test]
fn a_killed_followers_pod_is_cleaned_up_after_and_its_end_put_down() {
    let mut root = root();
    let record = example("one");
    let lock = pods::create(&root.paths, &record, b"{}").unwrap();
    let mut child = follower(&mut root, &lock);
    drop(lock);
    std::fs::create_dir_all(root.paths.run_pod(&record.id).join("containers/abc")).unwrap();
    std::fs::create_dir_all(root.paths.pod_sockets(&record.id)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    let work = look(&root.paths).unwrap();
    assert_eq!(work.dead, std::slice::from_ref(&record.id));
    let problems = carry_out_now(&root.paths, work);

    assert!(problems.is_empty(), "{problems:?}");
    let after = PodRecord::load(&root.paths, &record.id).unwrap();
    let end = after.end.unwrap();
    assert_eq!(
        (end.reason.as_str(), end.exit_code),
        ("FollowerKilled", 137)
    );
    assert_eq!(after.phase, Phase::Failed);
    assert!(!root.paths.run_pod(&record.id).exists());
    assert!(!root.paths.pod_sockets(&record.id).exists());
    assert!(!root.paths.pod_input(&record.id).exists());
    assert!(look(&root.paths).unwrap().is_empty());
}

#[test]
fn a_pod_of_an_earlier_boot_ended_with_the_machine() {
    let root = root();
    let mut record = example("one");
    record.boot_id = "another".to_owned();
    drop(pods::create(&root.paths, &record, b"{}").unwrap());

    let work = look(&root.paths).unwrap();
    assert!(carry_out_now(&root.paths, work).is_empty());

    let after = PodRecord::load(&root.paths, &record.id).unwrap();
    assert_eq!(after.end.unwrap().reason, "NodeRestarted");
}

#[test]
fn an_end_that_is_on_record_is_not_put_down_again() {
    let root = root();
    let mut record = example("one");
    let lock = pods::create(&root.paths, &record, b"{}").unwrap();
    // Killed between its end and the removal of the mark.
    record.put_down_end(End {
        time: Timestamp::now(),
        reason: "Completed".to_owned(),
        message: String::new(),
        exit_code: 0,
    });
    record.save(&root.paths).unwrap();
    drop(lock);

    let work = look(&root.paths).unwrap();
    assert!(carry_out_now(&root.paths, work).is_empty());

    let after = PodRecord::load(&root.paths, &record.id).unwrap();
    assert_eq!(after, record);
    assert!(look(&root.paths).unwrap().is_empty());
}

#[test]
fn what_is_there_of_a_pod_without_a_record_is_removed() {
    let root = root();
    let id = PodId::random().unwrap();
    std::fs::create_dir_all(root.paths.run_pod(&id).join("containers")).unwrap();

    let work = look(&root.paths).unwrap();
    assert!(work.orphans.contains(&id));
    assert!(carry_out_now(&root.paths, work).is_empty());

    assert!(!root.paths.run_pod(&id).exists());
}

#[test]
fn records_half_made_and_half_removed_are_removed() {
    let root = root();
    let half = root.paths.pods().join(".new-abc");
    let trash = root.paths.pods().join(".trash-abc/logs");
    std::fs::create_dir_all(&half).unwrap();
    std::fs::create_dir_all(&trash).unwrap();

    let work = look(&root.paths).unwrap();
    assert_eq!(work.halves.len(), 2);
    assert!(carry_out_now(&root.paths, work).is_empty());

    assert!(look(&root.paths).unwrap().is_empty());
    assert!(!half.exists());
}

#[test]
fn a_record_that_is_none_does_not_keep_its_pod_alive() {
    let root = root();
    let record = example("one");
    drop(pods::create(&root.paths, &record, b"{}").unwrap());
    std::fs::write(root.paths.pod_record(&record.id), b"").unwrap();
    std::fs::write(root.paths.first_record(&record.id), b"").unwrap();

    let work = look(&root.paths).unwrap();
    assert!(carry_out_now(&root.paths, work).is_empty());

    assert!(look(&root.paths).unwrap().is_empty());
}

#[test]
fn a_record_that_a_loss_of_power_has_emptied_is_known_by_the_first_one() {
    let root = root();
    let record = example("one");
    drop(pods::create(&root.paths, &record, b"{}").unwrap());
    record.save(&root.paths).unwrap();
    std::fs::write(root.paths.pod_record(&record.id), b"").unwrap();

    let work = look(&root.paths).unwrap();
    assert!(carry_out_now(&root.paths, work).is_empty());

    let after = PodRecord::load(&root.paths, &record.id).unwrap();
    assert_eq!(after.name, "one");
    assert_eq!(after.end.unwrap().reason, "FollowerKilled");
}

#[test]
fn sockets_of_nobody_are_removed_and_those_of_others_are_not() {
    let root = root();
    let directory = root.paths.sockets().join("0123456789ab");
    std::fs::create_dir_all(&directory).unwrap();
    // As containerd names them.
    let another = root.paths.sockets().join("0123456789ab".repeat(5));
    std::fs::write(&another, "").unwrap();

    let work = look(&root.paths).unwrap();
    assert!(carry_out_now(&root.paths, work).is_empty());

    assert!(!directory.exists());
    assert!(another.exists());
}

#[test]
fn several_sweeps_at_once_put_down_one_end() {
    let root = root();
    let records: Vec<_> = (0..8).map(|i| example(&format!("p{i}"))).collect();
    for record in &records {
        drop(pods::create(&root.paths, record, b"{}").unwrap());
    }

    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let work = look(&root.paths).unwrap();
                assert!(carry_out_now(&root.paths, work).is_empty());
            });
        }
    });

    for record in &records {
        let after = PodRecord::load(&root.paths, &record.id).unwrap();
        assert_eq!(after.end.unwrap().reason, "FollowerKilled");
    }
    assert!(look(&root.paths).unwrap().is_empty());
}
