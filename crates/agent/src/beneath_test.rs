use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

#[test]
fn a_link_does_not_lead_out_of_the_root() {
    let outside = tempfile::tempdir().unwrap();
    let inside = tempfile::tempdir().unwrap();
    symlink(outside.path(), inside.path().join("out")).unwrap();
    let root = open_root(inside.path()).unwrap();
    assert!(make_directories(root.as_fd(), Path::new("out/made"), 0o755, false).is_err());
    // With links, an absolute target is taken below the root, where it does not exist.
    assert!(make_directories(root.as_fd(), Path::new("out/made"), 0o755, true).is_err());
    assert!(!outside.path().join("made").exists());
}

#[test]
fn missing_directories_are_made_with_the_mode() {
    let inside = tempfile::tempdir().unwrap();
    let root = open_root(inside.path()).unwrap();
    make_directories(root.as_fd(), Path::new("/a/b"), 0o777, true).unwrap();
    let mode = fs::metadata(inside.path().join("a/b"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o777, 0o777);
}

#[test]
fn links_inside_are_followed_when_asked_for() {
    let inside = tempfile::tempdir().unwrap();
    fs::create_dir(inside.path().join("real")).unwrap();
    symlink("/real", inside.path().join("link")).unwrap();
    let root = open_root(inside.path()).unwrap();
    make_directories(root.as_fd(), Path::new("link/made"), 0o755, true).unwrap();
    assert!(inside.path().join("real/made").is_dir());
    assert!(make_directories(root.as_fd(), Path::new("link/more"), 0o755, false).is_err());
}

#[test]
fn plain_paths_have_names_only() {
    for path in ["a", "a/b", "..data", "..2024_1/key"] {
        assert!(is_plain(Path::new(path)), "{path}");
    }
    for path in ["", "/a", "a/../b", "..", "./..", "."] {
        assert!(!is_plain(Path::new(path)), "{path}");
    }
}
