use super::*;

use std::io::Write;

#[test]
fn a_claimed_name_is_refused_to_others_until_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let held = TempFile::try_claim(folder.path(), "a").unwrap().unwrap();
    assert!(TempFile::try_claim(folder.path(), "a").unwrap().is_none());
    drop(held);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(TempFile::try_claim(folder.path(), "a").unwrap().is_some());
}

#[test]
fn what_a_killed_maker_left_is_taken_over_empty() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "half").unwrap();
    let mut taken = TempFile::try_claim(folder.path(), "a").unwrap().unwrap();
    taken.file().write_all(b"whole").unwrap();
    let to = folder.path().join("x/y");
    taken.persist(&to).unwrap();
    assert_eq!(fs::read(to).unwrap(), b"whole");
}

#[test]
fn only_what_nobody_holds_is_stale() {
    let folder = tempfile::tempdir().unwrap();
    let held = TempFile::create(folder.path(), "held").unwrap();
    fs::write(folder.path().join("left"), "half").unwrap();
    remove_stale(folder.path()).unwrap();
    let names: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    assert_eq!(names, [held.path()]);
}
