//! What the tests share: tars made by hand, images mounted by the kernel, trees compared.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub(crate) mod tar;
pub(crate) mod tree;

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use skete_erofs::{Error, Options, Stats, convert};
use tempfile::TempDir;

/// Converts in memory.
pub(crate) fn image_of(tar: &[u8]) -> Result<(Vec<u8>, Stats), Error> {
    let mut out = Cursor::new(Vec::new());
    let stats = convert(tar, &mut out, &Options::default())?;
    Ok((out.into_inner(), stats))
}

/// An error with all that caused it, as a program would print it.
pub(crate) fn line(error: &dyn std::error::Error) -> String {
    let levels = std::iter::successors(Some(error), |&e| e.source());
    levels
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// Runs a program that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("cannot run {program}: {e}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    output
}

/// Tests that mount fail without root; they do not pass unseen.
pub(crate) fn need_root() {
    let uid = rustix::process::geteuid();
    assert!(
        uid.is_root(),
        "this test mounts images and must run as root, not as uid {uid}"
    );
}

/// Checks an image with `fsck.erofs` (Debian package erofs-utils).
pub(crate) fn fsck(image: &Path) {
    run("fsck.erofs", &[image.to_str().unwrap()]);
}

/// A mounted file system; unmounted when dropped.
pub(crate) struct Mount {
    dir: TempDir,
}

impl Mount {
    /// Mounts an image by a loop device.
    pub(crate) fn erofs(image: &Path) -> Self {
        need_root();
        let dir = TempDir::new().unwrap();
        let (image, at) = (image.to_str().unwrap(), dir.path().to_str().unwrap());
        run("mount", &["-t", "erofs", "-o", "loop,ro", image, at]);
        Self { dir }
    }

    /// Mounts an overlay of read-only layers, the topmost first.
    pub(crate) fn overlay(layers: &[&Path]) -> Self {
        need_root();
        let dir = TempDir::new().unwrap();
        let lower: Vec<_> = layers.iter().map(|l| l.to_str().unwrap()).collect();
        let options = format!("ro,lowerdir={}", lower.join(":"));
        run(
            "mount",
            &[
                "-t",
                "overlay",
                "-o",
                &options,
                "overlay",
                dir.path().to_str().unwrap(),
            ],
        );
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.dir.path()).status();
    }
}

/// A directory of its own for one test.
pub(crate) struct Work {
    pub(crate) dir: TempDir,
}

impl Work {
    pub(crate) fn new() -> Self {
        Self {
            dir: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a directory.
    pub(crate) fn mkdir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Converts a tar, lets `fsck.erofs` check the image, and mounts it.
    pub(crate) fn mount(&self, name: &str, tar: &[u8]) -> Mount {
        let path = self.path(name);
        let mut out = File::create_new(&path).unwrap();
        if let Err(error) = convert(tar, &mut out, &Options::default()) {
            panic!("{}", line(&error));
        }
        drop(out);
        fsck(&path);
        Mount::erofs(&path)
    }

    /// Extracts a tar with GNU tar.
    pub(crate) fn extract(&self, name: &str, tar: &[u8]) -> PathBuf {
        need_root();
        let archive = self.path(&format!("{name}.tar"));
        std::fs::write(&archive, tar).unwrap();
        let into = self.mkdir(name);
        let (archive, at) = (archive.to_str().unwrap(), into.to_str().unwrap());
        let how = [
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "--same-owner",
            "-p",
        ];
        run(
            "tar",
            &[
                &["--delay-directory-restore", "-xf", archive, "-C", at],
                &how[..],
            ]
            .concat(),
        );
        into
    }
}
