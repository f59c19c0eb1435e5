#![allow(clippy::unwrap_used)]

use std::process::{Command, Stdio};

use super::*;
use crate::testing::installation;

#[test]
fn versions_lie_side_by_side_and_the_link_names_the_current() {
    let dir = tempfile::tempdir().unwrap();
    let versions = Versions::below(&dir.path().join("prefix"));
    let one = versions.add(&installation(dir.path(), "one")).unwrap();
    versions.switch(&one).unwrap();
    let two = versions.add(&installation(dir.path(), "two")).unwrap();
    assert_ne!(one, two);
    assert_eq!(versions.current_name(), Some(one.clone()));
    assert_eq!(
        versions.add(&installation(dir.path(), "two")).unwrap(),
        two,
        "the same files are the same version"
    );

    versions.switch(&two).unwrap();

    let shim = fs::read(versions.current().join(SHIM)).unwrap();
    assert!(String::from_utf8_lossy(&shim).contains("two"));
    let mkfs = fs::canonicalize(versions.current().join("libexec/mkfs.erofs")).unwrap();
    assert_eq!(mkfs, versions.directory(&two).join(MKFS));
    assert!(versions.directory(&one).is_dir());
    // A version can be installed from itself.
    let again = versions.add(&versions.directory(&two)).unwrap();
    assert_eq!(again, two);
}

#[test]
fn a_version_that_a_process_runs_stays_until_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let versions = Versions::below(&dir.path().join("prefix"));
    let source = installation(dir.path(), "one");
    fs::copy("/bin/sleep", source.join(SHIM)).unwrap();
    let old = versions.add(&source).unwrap();
    let new = versions.add(&installation(dir.path(), "two")).unwrap();
    versions.switch(&new).unwrap();
    let mut shim = Command::new(versions.directory(&old).join(SHIM))
        .arg("1000")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();

    versions.remove_unused().unwrap();
    assert!(versions.directory(&old).is_dir());

    shim.kill().unwrap();
    shim.wait().unwrap();
    versions.remove_unused().unwrap();
    assert!(!versions.directory(&old).exists());
    assert!(versions.directory(&new).is_dir());
}

#[test]
fn a_damaged_version_is_written_again_and_an_incomplete_source_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let versions = Versions::below(&dir.path().join("prefix"));
    let source = installation(dir.path(), "one");
    let name = versions.add(&source).unwrap();
    let kernel = versions.directory(&name).join("share/skete/vmlinux");
    fs::write(&kernel, "cut").unwrap();

    assert_eq!(versions.add(&source).unwrap(), name);
    assert_ne!(fs::read_to_string(&kernel).unwrap(), "cut");

    fs::remove_file(source.join("share/skete/vmlinux")).unwrap();
    let line = versions.add(&source).unwrap_err().to_string();
    assert!(line.contains("share/skete/vmlinux is missing"), "{line}");
}
