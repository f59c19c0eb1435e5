//! Images mounted by the kernel show what GNU tar extracts, file by file.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::{self, File};
use std::io::Cursor;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

use common::tar::{Header, Tar};
use common::{Work, need_root, run, tree};
use rustix::fs::{XattrFlags, lsetxattr};
use skete_erofs::{Options, convert};

fn s(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Archives a directory with GNU tar.
fn archive(dir: &Path, arguments: &[&str]) -> Vec<u8> {
    let base = ["-cf", "-", "-C", s(dir), "--numeric-owner", "--sort=name"];
    run("tar", &[&base, arguments, &["."]].concat()).stdout
}

fn compare(tar: &[u8]) {
    let work = Work::new();
    let extracted = work.extract("extracted", tar);
    let mount = work.mount("image", tar);
    tree::assert_same(&extracted, mount.path());
}

/// A tree with one of everything.
fn make_tree(dir: &Path) {
    need_root();
    let at = |name: &str| dir.join(name);
    fs::create_dir_all(at("a/b/c")).unwrap();
    fs::write(at("a/empty"), "").unwrap();
    for size in [
        1, 511, 512, 513, 4095, 4096, 4097, 65_536, 65_537, 3_000_000,
    ] {
        let content: Vec<u8> = (0..size).map(|n| (n * 31 + n / 251) as u8).collect();
        fs::write(at(&format!("a/size-{size}")), content).unwrap();
    }
    fs::hard_link(at("a/size-513"), at("a/b/hard")).unwrap();
    fs::hard_link(at("a/size-513"), at("a/b/c/hard too")).unwrap();
    symlink("a/size-513", at("relative")).unwrap();
    symlink("/etc/passwd", at("absolute")).unwrap();
    symlink("t/".repeat(1500), at("long target")).unwrap();
    fs::hard_link(at("relative"), at("hard link to a symbolic link")).unwrap();
    run("mknod", &[s(&at("char")), "c", "250", "70000"]);
    run("mknod", &[s(&at("block")), "b", "8", "1"]);
    run("mkfifo", &["-m", "600", s(&at("fifo"))]);
    fs::set_permissions(at("a/size-1"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::create_dir(at("sticky")).unwrap();
    fs::set_permissions(at("sticky"), fs::Permissions::from_mode(0o1777)).unwrap();
    run(
        "chown",
        &[
            "-h",
            "3000000000:4000000000",
            s(&at("a/size-512")),
            s(&at("relative")),
        ],
    );
    run(
        "touch",
        &[
            "-d",
            "1960-05-05 05:05:05.123456789 UTC",
            s(&at("a/size-511")),
        ],
    );
    run(
        "touch",
        &["-d", "2200-01-01 00:00:00.999999999 UTC", s(&at("a/empty"))],
    );
    // Long in all its parts, and names that sort around `.` and `..`.
    let long = ["x".repeat(255), "y".repeat(200), "z".repeat(101)].join("/");
    fs::create_dir_all(at(&long)).unwrap();
    fs::write(at(&long).join("end"), "deep").unwrap();
    for name in [" ", "!", "-", ".-", "...", "..a", ".a", "\n", "ä", "\u{7f}"] {
        fs::write(at("sticky").join(name), name).unwrap();
    }
    // A directory of many blocks.
    fs::create_dir(at("many")).unwrap();
    for n in 0..1200 {
        fs::write(
            at(&format!("many/a file with some name {n}")),
            n.to_string(),
        )
        .unwrap();
    }
    fs::write(
        at("zeros"),
        [vec![1; 70_000], vec![0; 400_000], vec![2; 9]].concat(),
    )
    .unwrap();
    fs::write(at("only zeros"), vec![0; 1 << 20]).unwrap();
}

fn add_xattrs(dir: &Path) {
    let set = |name: &str, key: &str, value: &[u8]| {
        lsetxattr(dir.join(name), key, value, XattrFlags::empty()).unwrap();
    };
    set("a", "user.on a directory", b"x");
    set("", "user.on the root", b"y");
    set("a/size-4096", "trusted.binary", b"\0\xff=\n");
    set("a/size-4096", "user.long", &[7; 3000]);
    set("a/size-4097", "user.empty", b"");
    for n in 0..40 {
        set(
            "many",
            &format!("user.number.{n}"),
            format!("{n}").as_bytes(),
        );
    }
    // As setcap(8) writes cap_net_bind_service=ep.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set("a/size-1", "security.capability", &capability);
}

fn make_sparse(dir: &Path) {
    let file = |name: &str, size: u64, data: &[(u64, &[u8])]| {
        let file = File::create(dir.join(name)).unwrap();
        file.set_len(size).unwrap();
        for (at, bytes) in data {
            file.write_all_at(bytes, *at).unwrap();
        }
    };
    file("all hole", 10 << 20, &[]);
    file("hole first", 10 << 20, &[((10 << 20) - 5, b"tail!")]);
    file("hole last", 10 << 20, &[(0, b"head")]);
    file("hole inside", 300_000, &[(0, b"head"), (299_990, b"tail")]);
    file("small", 12_345, &[(8192, b"x")]);
    let many: Vec<(u64, &[u8])> = (0..150).map(|n| (n * 200_000, &b"some data"[..])).collect();
    file("many holes", 32 << 20, &many);
    file(
        "over 4 GiB",
        (5 << 30) + 1,
        &[(1, b"a"), ((4 << 30) + 77, b"beyond"), (5 << 30, b"z")],
    );
}

#[test]
fn a_tree_of_everything_in_gnu_format() {
    let work = Work::new();
    let dir = work.mkdir("tree");
    make_tree(&dir);
    compare(&archive(&dir, &["--format=gnu"]));
}

#[test]
fn a_tree_of_everything_in_pax_format_with_attributes() {
    let work = Work::new();
    let dir = work.mkdir("tree");
    make_tree(&dir);
    add_xattrs(&dir);
    compare(&archive(
        &dir,
        &["--format=pax", "--xattrs", "--xattrs-include=*"],
    ));
}

#[test]
fn a_tree_in_ustar_and_v7_format() {
    let work = Work::new();
    let dir = work.mkdir("tree");
    fs::create_dir_all(dir.join("d".repeat(90)).join("e".repeat(60))).unwrap();
    fs::write(
        dir.join("d".repeat(90))
            .join("e".repeat(60))
            .join("f".repeat(50)),
        "hi",
    )
    .unwrap();
    compare(&archive(&dir, &["--format=ustar"]));
    fs::remove_dir_all(dir.join("d".repeat(90))).unwrap();
    fs::create_dir(dir.join("d")).unwrap();
    fs::write(dir.join("d/file"), "hi").unwrap();
    compare(&archive(&dir, &["--format=v7"]));
}

#[test]
fn sparse_files_in_all_four_forms() {
    let work = Work::new();
    let dir = work.mkdir("tree");
    make_sparse(&dir);
    let pax = |version| archive(&dir, &["-S", "--format=pax", version]);
    let tars = [
        archive(&dir, &["-S", "--format=gnu"]),
        pax("--sparse-version=0.0"),
        pax("--sparse-version=0.1"),
        pax("--sparse-version=1.0"),
    ];
    for tar in &tars {
        let mut out = Cursor::new(Vec::new());
        let stats = convert(&tar[..], &mut out, &Options::default()).unwrap();
        assert!(
            stats.image_bytes < 20 << 20,
            "holes take no room: {stats:?}"
        );
        assert!(stats.hole_bytes > 5 << 30, "{stats:?}");
    }
    tars.iter().for_each(|tar| compare(tar));
}

#[test]
fn a_real_tree_of_packages() {
    // Whatever Python there is, else the documentation that every Debian has.
    let lib = Path::new("/usr/lib/python3");
    let tree = if lib.is_dir() {
        lib
    } else {
        Path::new("/usr/share/doc")
    };
    let tar = archive(tree, &["--format=pax"]);
    assert!(
        tar.len() > 100_000,
        "there is something in {}",
        tree.display()
    );
    compare(&tar);
}

#[test]
fn of_two_entries_with_one_name_the_last_counts() {
    let mut tar = Tar::new();
    tar.dir("d").file("d/f", "first").file("d/f", "second");
    tar.file("l", "to be linked")
        .hard_link("d/g", "l")
        .file("l", "replaced");
    tar.symlink("s", "d").file("s", "not through the link");
    tar.dir("e").add(
        &Header {
            mode: 0o700,
            uid: 7,
            ..Header::new(b'5', "e/")
        },
        b"",
    );
    tar.file("e/kept", "kept").dir("e");
    tar.hard_link("l2", "l").hard_link("l2", "l2");
    tar.file("x", "1").symlink("x", "d").dir("x");
    // GNU tar leaves directories' times as its own doing made them, but for these.
    tar.dir("d").dir("e").dir(".");
    compare(&tar.end());
}

#[test]
fn acls_are_kept_where_the_kernel_looks_for_them() {
    // Version 2; owner rw-, user 1000 r--, group r--, mask r--, others ---.
    let mut acl = vec![2, 0, 0, 0];
    for (tag, permissions, id) in [
        (1_u16, 6_u16, u32::MAX),
        (2, 4, 1000),
        (4, 4, u32::MAX),
        (16, 4, u32::MAX),
        (32, 0, u32::MAX),
    ] {
        acl.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        acl.extend(id.to_le_bytes());
    }
    let mut tar = Tar::new();
    tar.pax(&[("SCHILY.xattr.system.posix_acl_access", &acl)])
        .file("f", "x");
    let work = Work::new();
    let mount = work.mount("image", &tar.end());
    let seen = tree::see(mount.path());
    let xattrs = &seen[Path::new("f")].xattrs;
    assert_eq!(xattrs.get(&b"system.posix_acl_access"[..]), Some(&acl));
}

#[test]
fn the_same_tar_gives_the_same_image_and_another_tar_another_uuid() {
    let work = Work::new();
    let dir = work.mkdir("tree");
    make_tree(&dir);
    let tar = archive(&dir, &["--format=pax"]);
    let (first, stats) = common::image_of(&tar).unwrap();
    let (second, again) = common::image_of(&tar).unwrap();
    assert!(first == second && stats == again);
    let (other, _) = common::image_of(Tar::new().file("f", "x").end().as_slice()).unwrap();
    assert_ne!(first[1072..1088], other[1072..1088]);
    // And a UUID of the caller's own goes in as it is.
    let mut out = Cursor::new(Vec::new());
    let options = Options {
        uuid: Some([5; 16]),
        ..Options::default()
    };
    convert(&tar[..], &mut out, &options).unwrap();
    assert_eq!(out.into_inner()[1072..1088], [5; 16]);
}

#[test]
fn content_begins_on_pages_and_is_never_packed() {
    let mut tar = Tar::new();
    for n in 0..20_u8 {
        tar.file(format!("f{n}"), vec![b'A' + n; 100 + 300 * usize::from(n)]);
    }
    let (image, _) = common::image_of(&tar.end()).unwrap();
    for n in 0..20_u8 {
        let first = image.iter().position(|&b| b == b'A' + n);
        let run = vec![b'A' + n; 100 + 300 * usize::from(n)];
        let at = image.windows(run.len()).position(|w| w == run).unwrap();
        assert!(
            at.is_multiple_of(4096),
            "f{n} is at {at}, its letter first at {first:?}"
        );
    }
}

/// Wherever the last inode ends, also at the very end of a block.
#[test]
fn every_number_of_empty_files_gives_a_sound_image() {
    let work = Work::new();
    for count in 1..=128 {
        let mut tar = Tar::new();
        for file in 0..count {
            tar.file(format!("{file:04}"), b"");
        }
        let path = work.path("image");
        fs::write(&path, common::image_of(&tar.end()).unwrap().0).unwrap();
        common::fsck(&path);
    }
}
