//! The program that stands in for `mkfs.erofs`, called as containerd calls it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::tar::Tar;

const PROGRAM: &str = env!("CARGO_BIN_EXE_skete-mkfs-erofs");
const UUID: &str = "6ba7b811-9dad-51d1-80b4-00c04fd430c8";
/// As containerd's differ calls it (2.4; 2.2 leaves out the size of a block).
const AS_CONTAINERD: &[&str] = &[
    "--tar=f",
    "--aufs",
    "--quiet",
    "-Enoinline_data",
    "-b4096",
    "-U",
    UUID,
];

fn mkfs(arguments: &[&str], path: &str, stdin: &[u8], image: &Path) -> Output {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .arg(image)
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read everything.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn line_of(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn layer() -> Vec<u8> {
    Tar::new()
        .dir("etc")
        .file("etc/hostname", "skete\n")
        .file("etc/.wh.motd", "")
        .end()
}

#[test]
fn a_layer_becomes_the_same_image_each_time_with_the_uuid_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let images: Vec<Vec<u8>> = ["a", "b"]
        .iter()
        .map(|name| {
            let image = dir.path().join(name);
            // What an earlier try has left is replaced.
            fs::write(&image, "left from an earlier try").unwrap();
            let output = mkfs(AS_CONTAINERD, "", &layer(), &image);
            assert!(output.status.success(), "{}", line_of(&output));
            assert!(output.stdout.is_empty() && output.stderr.is_empty());
            common::fsck(&image);
            fs::read(&image).unwrap()
        })
        .collect();

    assert_eq!(images[0], images[1]);
    // The UUID's place in the superblock: 1024 + 48.
    let uuid: String = images[0][1072..1088]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(uuid, UUID.replace('-', ""));
}

#[test]
fn a_bad_layer_is_refused_in_one_line_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("layer.erofs");
    let mut cut = layer();
    cut.truncate(1027);
    for (tar, told) in [
        (vec![b'x'; 4096], "checksum"),
        (cut, "in the middle"),
        (Tar::new().file("../evil", "x").end(), "../evil"),
    ] {
        let output = mkfs(AS_CONTAINERD, "", &tar, &image);
        assert_eq!(output.status.code(), Some(1));
        let line = line_of(&output);
        assert!(line.contains(told), "{line}");
        assert!(!image.exists());
    }
}

#[test]
fn what_is_no_file_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let output = mkfs(AS_CONTAINERD, "", &layer(), dir.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(line_of(&output).contains("is no regular file"));
    assert!(dir.path().is_dir());
}

#[test]
fn what_it_cannot_do_goes_to_the_next_mkfs_on_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (dir.path().join("ours"), dir.path().join("other"));
    fs::create_dir(&ours).unwrap();
    fs::create_dir(&other).unwrap();
    fs::hard_link(PROGRAM, ours.join("mkfs.erofs"))
        .or_else(|_| fs::copy(PROGRAM, ours.join("mkfs.erofs")).map(drop))
        .unwrap();
    let system = other.join("mkfs.erofs");
    fs::write(
        &system,
        "#!/bin/sh\nprintf '%s ' \"the other got\" \"$@\"\n",
    )
    .unwrap();
    fs::set_permissions(&system, fs::Permissions::from_mode(0o755)).unwrap();
    let call = |path: &str| {
        Command::new(ours.join("mkfs.erofs"))
            .args(["--tar=i", "--aufs", "layer.erofs"])
            .env("PATH", path)
            .output()
            .unwrap()
    };

    let both = format!("{}:{}:/bin", ours.display(), other.display());
    let output = call(&both);
    assert!(output.status.success(), "{}", line_of(&output));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "the other got --tar=i --aufs layer.erofs "
    );

    let output = call(ours.to_str().unwrap());
    assert_eq!(output.status.code(), Some(1));
    let line = line_of(&output);
    assert!(
        line.contains("--tar=i") && line.contains("install erofs-utils"),
        "{line}"
    );
}
