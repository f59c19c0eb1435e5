//! Layers stacked by the kernel's overlay show what the image's author saw.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::tar::{Header, Tar};
use common::{Mount, Work, tree};

/// Mounts layers, the lowest first, and their overlay.
fn stack(work: &Work, layers: &[&Tar]) -> (Vec<Mount>, Mount) {
    let mounts: Vec<_> = layers
        .iter()
        .enumerate()
        .map(|(n, t)| work.mount(&format!("layer{n}"), &t.end()))
        .collect();
    let paths: Vec<_> = mounts.iter().rev().map(Mount::path).collect();
    let overlay = Mount::overlay(&paths);
    (mounts, overlay)
}

/// All files by path, with their content.
fn files(root: &Path) -> BTreeMap<String, String> {
    let seen = tree::see(root).into_iter();
    let files = seen.filter(|(_, one)| one.mode & 0o170_000 == 0o100_000);
    let content = |path: &Path| fs::read_to_string(root.join(path)).unwrap();
    files
        .map(|(path, _)| (path.display().to_string(), content(&path)))
        .collect()
}

fn expect(files: &BTreeMap<String, String>, wanted: &[(&str, &str)]) {
    let wanted = wanted
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    assert_eq!(files, &wanted);
}

fn base() -> Tar {
    let mut tar = Tar::new();
    tar.dir("d")
        .file("d/a", "a1")
        .file("d/b", "b1")
        .dir("d/sub")
        .file("d/sub/c", "c1");
    tar.dir("e")
        .file("e/x", "x1")
        .file("f", "f1")
        .symlink("l", "f");
    tar
}

#[test]
fn a_whiteout_hides_a_file_a_link_and_a_directory_of_lower_layers() {
    let work = Work::new();
    let mut top = Tar::new();
    top.file("d/.wh.a", "")
        .file(".wh.l", "")
        .file(".wh.e", "")
        .file("d/b", "b2");
    let (_layers, overlay) = stack(&work, &[&base(), &top]);
    expect(
        &files(overlay.path()),
        &[("d/b", "b2"), ("d/sub/c", "c1"), ("f", "f1")],
    );
    assert!(overlay.path().join("l").symlink_metadata().is_err());
    assert!(!overlay.path().join("e").exists());
}

#[test]
fn an_opaque_directory_hides_all_that_lower_layers_have_in_it_and_nothing_else() {
    for opaque_first in [true, false] {
        let work = Work::new();
        let mut top = Tar::new();
        top.dir("d");
        if opaque_first {
            top.file("d/.wh..wh..opq", "").file("d/new", "n");
        } else {
            top.file("d/new", "n").file("d/.wh..wh..opq", "");
        }
        // That the directory is listed again changes nothing.
        top.dir("d");
        let (_layers, overlay) = stack(&work, &[&base(), &top]);
        expect(
            &files(overlay.path()),
            &[("d/new", "n"), ("e/x", "x1"), ("f", "f1")],
        );
    }
}

#[test]
fn an_opaque_root_is_told_to_the_caller_as_overlayfs_does_not_heed_it() {
    let mut top = Tar::new();
    top.file(".wh..wh..opq", "").file("only", "this").dir("./");
    let (_, stats) = common::image_of(&top.end()).unwrap();
    assert!(stats.opaque_root);
    let (_, stats) = common::image_of(&base().end()).unwrap();
    assert!(!stats.opaque_root);
    let work = Work::new();
    let mount = work.mount("layer", &top.end());
    let root = &tree::see(mount.path())[Path::new("")];
    assert_eq!(
        root.xattrs.get(&b"trusted.overlay.opaque"[..]),
        Some(&b"y".to_vec())
    );
}

#[test]
fn a_whiteout_never_hides_what_its_own_layer_has() {
    for whiteout_first in [true, false] {
        let work = Work::new();
        let mut top = Tar::new();
        let whiteouts = |tar: &mut Tar| {
            tar.file(".wh.d", "").file(".wh.f", "");
        };
        if whiteout_first {
            whiteouts(&mut top);
        }
        top.dir("d").file("d/a", "a2").file("f", "f2");
        if !whiteout_first {
            whiteouts(&mut top);
        }
        let (_layers, overlay) = stack(&work, &[&base(), &top]);
        expect(
            &files(overlay.path()),
            &[("d/a", "a2"), ("e/x", "x1"), ("f", "f2")],
        );
    }
}

#[test]
fn a_whiteout_is_followed_by_an_implied_directory() {
    let work = Work::new();
    let mut top = Tar::new();
    top.file(".wh.d", "").file("d/new", "n");
    let (_layers, overlay) = stack(&work, &[&base(), &top]);
    expect(
        &files(overlay.path()),
        &[("d/new", "n"), ("e/x", "x1"), ("f", "f1")],
    );
}

#[test]
fn sixty_layers_show_the_topmost_of_each_file() {
    let work = Work::new();
    let layers: Vec<Tar> = (0..60)
        .map(|n| {
            let mut tar = Tar::new();
            tar.file("last", n.to_string())
                .file(format!("own/{n}"), "x");
            tar
        })
        .collect();
    let (_layers, overlay) = stack(&work, &layers.iter().collect::<Vec<_>>());
    let files = files(overlay.path());
    assert_eq!(files["last"], "59");
    assert_eq!(files.len(), 61);
}

#[test]
fn marks_of_overlayfs_in_a_tar_and_files_of_aufs_are_left_out() {
    let work = Work::new();
    let mut top = Tar::new();
    let redirect: &[(&str, &[u8])] = &[
        ("SCHILY.xattr.trusted.overlay.redirect", b"/e"),
        ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.kept", b"k"),
    ];
    top.pax(redirect)
        .dir("d")
        .dir(".wh..wh.plnk")
        .file(".wh..wh.plnk/1.2", "x");
    top.file(".wh..wh.aufs", "");
    let (layers, overlay) = stack(&work, &[&base(), &top]);
    let seen = tree::see(layers[1].path());
    let names: Vec<_> = seen.keys().map(|p| p.to_str().unwrap()).collect();
    assert_eq!(names, ["", "d"]);
    let xattrs: Vec<_> = seen[Path::new("d")].xattrs.keys().cloned().collect();
    assert_eq!(xattrs, [b"user.kept".to_vec()]);
    assert_eq!(files(overlay.path()).len(), 5);
    let (_, stats) = common::image_of(&top.end()).unwrap();
    assert_eq!(stats.dropped_xattrs, 2);
}

#[test]
fn a_whiteout_of_nothing_or_of_dots_is_refused() {
    for name in [".wh.", "a/.wh..", "a/.wh..."] {
        let mut tar = Tar::new();
        tar.add(&Header::new(b'0', name), b"");
        let error = common::image_of(&tar.end()).unwrap_err();
        let line = common::line(&error);
        assert!(line.contains(&format!("\"{name}\"")), "{line}");
    }
}
