//! Random trees come out as GNU tar extracts them; damaged tars never do worse than an error.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;

use common::tar::{Header, Tar};
use common::{Work, fsck, image_of, line, tree};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::Index;

/// What a random entry is.
#[derive(Clone, Debug)]
enum Kind {
    Directory,
    /// Lengths of runs of one byte each.
    File(Vec<(u32, u8)>),
    Symlink(Vec<u8>),
    /// To one of the files before.
    HardLink(Index),
    Device(bool, u32, u32),
    Fifo,
    /// One of the files before, again with other content.
    Again(Index, Vec<(u32, u8)>),
}

#[derive(Clone, Debug)]
struct Random {
    name: Vec<u8>,
    parent: Index,
    kind: Kind,
    mode: u32,
    owner: (u32, u32),
    mtime: (u32, u32),
    xattrs: BTreeMap<String, Vec<u8>>,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = (1_u8..=255).prop_filter("no slash", |b| *b != b'/');
    let name = prop_oneof![8 => vec(byte, 1..20), 1 => vec(b'a'..=b'z', 200..=255)];
    // Neither dots alone, nor a whiteout, nor a name that an earlier entry has.
    name.prop_filter("special", |n| !n.starts_with(b"."))
}

fn content() -> impl Strategy<Value = Vec<(u32, u8)>> {
    let length = prop_oneof![0..5000_u32, Just(65_536), 60_000..300_000_u32];
    vec((length, prop_oneof![Just(0_u8), any::<u8>()]), 0..6)
}

fn random() -> impl Strategy<Value = Random> {
    let kind = prop_oneof![
        3 => Just(Kind::Directory),
        5 => content().prop_map(Kind::File),
        1 => vec(1_u8..=255, 1..300).prop_map(Kind::Symlink),
        2 => any::<Index>().prop_map(Kind::HardLink),
        1 => (any::<bool>(), 0..4096_u32, 0..1_u32 << 20).prop_map(|(c, a, b)| Kind::Device(c, a, b)),
        1 => Just(Kind::Fifo),
        1 => (any::<Index>(), content()).prop_map(|(i, c)| Kind::Again(i, c)),
    ];
    let xattrs = prop_oneof![
        3 => Just(BTreeMap::new()),
        1 => btree_map("(user|trusted)\\.[a-z]{1,40}", vec(any::<u8>(), 1..200), 1..4),
    ];
    let owner = (0..u32::MAX, 0..u32::MAX);
    let mtime = (any::<u32>(), 0..1_000_000_000_u32);
    let all = (
        name(),
        any::<Index>(),
        kind,
        0..0o7777_u32,
        owner,
        mtime,
        xattrs,
    );
    all.prop_map(|(name, parent, kind, mode, owner, mtime, xattrs)| Random {
        name,
        parent,
        kind,
        mode,
        owner,
        mtime,
        xattrs,
    })
}

fn bytes(runs: &[(u32, u8)]) -> Vec<u8> {
    runs.iter()
        .flat_map(|&(n, byte)| std::iter::repeat_n(byte, n as usize))
        .collect()
}

/// Writes one entry with all that its PAX header can say.
fn write(tar: &mut Tar, one: &Random, kind: u8, path: &[u8], link: &[u8], data: &[u8]) {
    let mut records: Vec<(String, Vec<u8>)> = vec![
        ("path".into(), path.to_vec()),
        (
            "mtime".into(),
            format!("{}.{:09}", one.mtime.0, one.mtime.1).into_bytes(),
        ),
    ];
    if !link.is_empty() {
        records.push(("linkpath".into(), link.to_vec()));
    }
    // Linux keeps user attributes on files and directories only.
    if matches!(kind, b'0' | b'5') {
        let key = |k: &String| format!("SCHILY.xattr.{k}");
        records.extend(one.xattrs.iter().map(|(k, v)| (key(k), v.clone())));
    }
    let records: Vec<_> = records
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_slice()))
        .collect();
    let device = match one.kind {
        Kind::Device(_, major, minor) => (major, minor),
        _ => (0, 0),
    };
    let (uid, gid) = (one.owner.0.into(), one.owner.1.into());
    let header = Header {
        mode: one.mode,
        uid,
        gid,
        device,
        ..Header::new(kind, "in the PAX header")
    };
    tar.pax(&records).add(&header, data);
}

fn tar_of(entries: &[Random]) -> Tar {
    let mut tar = Tar::new();
    let mut directories: Vec<(Vec<u8>, Option<&Random>)> = vec![(b".".to_vec(), None)];
    let mut files: Vec<Vec<u8>> = Vec::new();
    for (n, one) in entries.iter().enumerate() {
        let parent = &one.parent.get(&directories).0;
        // Numbered, so that no two are alike.
        let tail = format!("{n:x}").into_bytes();
        let room = 255 - tail.len();
        let own = &one.name[..one.name.len().min(room)];
        let path = [parent, &b"/"[..], own, &tail].concat();
        if path.len() > 3000 {
            continue;
        }
        match &one.kind {
            Kind::Directory => {
                write(&mut tar, one, b'5', &path, b"", b"");
                directories.push((path, Some(one)));
            }
            Kind::File(runs) => {
                write(&mut tar, one, b'0', &path, b"", &bytes(runs));
                files.push(path);
            }
            Kind::Symlink(target) => write(&mut tar, one, b'2', &path, target, b""),
            Kind::HardLink(_) | Kind::Again(..) if files.is_empty() => {}
            Kind::HardLink(to) => {
                let target = to.get(&files).clone();
                tar.pax(&[("path", &path), ("linkpath", &target)]);
                tar.add(&Header::new(b'1', "l"), b"");
                files.push(path);
            }
            Kind::Device(true, ..) => write(&mut tar, one, b'3', &path, b"", b""),
            Kind::Device(false, ..) => write(&mut tar, one, b'4', &path, b"", b""),
            Kind::Fifo => write(&mut tar, one, b'6', &path, b"", b""),
            Kind::Again(which, runs) => {
                let path: &Vec<u8> = which.get(&files);
                write(&mut tar, one, b'0', path, b"", &bytes(runs));
            }
        }
    }
    // Once more, as what came later changed their times where GNU tar extracts.
    for (path, one) in directories.iter().rev() {
        match one {
            Some(one) => write(&mut tar, one, b'5', path, b"", b""),
            None => {
                tar.dir("./");
            }
        }
    }
    tar
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_random_tree_is_what_gnu_tar_extracts(entries in vec(random(), 1..60)) {
        let tar = tar_of(&entries).end();
        let work = Work::new();
        let extracted = work.extract("extracted", &tar);
        let mount = work.mount("image", &tar);
        tree::assert_same(&extracted, mount.path());
    }
}

/// One way to damage a tar.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Remove(Index, u16),
    Repeat(Index, u16),
    /// A field of a header, with the checksum made right again.
    Field(Index, Index, u8),
    Digit(Index, u8),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), 1_u8..).prop_map(|(at, x)| Damage::Flip(at, x)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), 1..2000_u16).prop_map(|(at, n)| Damage::Remove(at, n)),
        (any::<Index>(), 1..2000_u16).prop_map(|(at, n)| Damage::Repeat(at, n)),
        (any::<Index>(), any::<Index>(), any::<u8>()).prop_map(|(b, f, x)| Damage::Field(b, f, x)),
        (any::<Index>(), b'0'..=b'9').prop_map(|(at, x)| Damage::Digit(at, x)),
    ]
}

fn apply(tar: &mut Vec<u8>, damage: &Damage) {
    if tar.len() < 512 {
        return;
    }
    match *damage {
        Damage::Flip(at, x) => *at.get_mut(tar.as_mut_slice()) ^= x,
        Damage::Cut(at) => tar.truncate(at.index(tar.len())),
        Damage::Remove(at, n) => {
            let at = at.index(tar.len());
            tar.drain(at..tar.len().min(at + usize::from(n)));
        }
        Damage::Repeat(at, n) => {
            let at = at.index(tar.len());
            let again = tar[at..tar.len().min(at + usize::from(n))].to_vec();
            tar.splice(at..at, again);
        }
        Damage::Field(block, at, x) => {
            let headers: Vec<usize> = (0..tar.len() / 512)
                .filter(|b| &tar[b * 512 + 257..][..5] == b"ustar")
                .collect();
            if !headers.is_empty() {
                let start = block.get(&headers) * 512;
                let header: &mut [u8; 512] = (&mut tar[start..start + 512]).try_into().unwrap();
                header[at.index(512)] = x;
                common::tar::checksum(header);
            }
        }
        Damage::Digit(at, x) => {
            let digits: Vec<usize> = (0..tar.len())
                .filter(|&n| tar[n].is_ascii_digit())
                .collect();
            if !digits.is_empty() {
                tar[*at.get(&digits)] = x;
            }
        }
    }
}

/// A tar with every kind of header.
fn seed() -> Vec<u8> {
    let mut tar = Tar::new();
    tar.dir("d")
        .file("d/f", "content")
        .hard_link("d/h", "d/f")
        .symlink("s", "d");
    tar.add(
        &Header::new(b'L', "././@LongLink"),
        &[b"long/"[..].repeat(40), b"\0".to_vec()].concat(),
    );
    tar.file("cut", "x")
        .file("d/.wh.gone", "")
        .file("d/.wh..wh..opq", "");
    tar.pax(&[
        ("path", b"p/a/x"),
        ("size", b"5"),
        ("mtime", b"1.5"),
        ("SCHILY.xattr.user.a", b"value"),
        ("GNU.sparse.map", b"0,2,100000,3"),
        ("GNU.sparse.size", b"200000"),
    ]);
    tar.file("x", "12345");
    tar.pax(&[
        ("GNU.sparse.major", b"1"),
        ("GNU.sparse.realsize", b"300000"),
    ]);
    let map = [
        b"2\n0\n1\n150000\n2\n".to_vec(),
        vec![0; 497],
        b"abc".to_vec(),
    ]
    .concat();
    tar.file("y", map);
    let mut old = Header {
        size: 4,
        ..Header::new(b'S', "old")
    }
    .encode();
    old[386..410].copy_from_slice(b"00000000000\x0000000000002\0");
    old[410..434].copy_from_slice(b"00000500000\x0000000000002\0");
    old[483..495].copy_from_slice(b"00000600000\0");
    common::tar::checksum(&mut old);
    tar.0.extend(old);
    tar.data(b"wxyz");
    tar.add(
        &Header {
            device: (1, 3),
            ..Header::new(b'3', "c")
        },
        b"",
    );
    tar.end()
}

#[test]
fn the_seed_of_damage_is_sound() {
    let (_, stats) = image_of(&seed()).unwrap_or_else(|e| panic!("{}", line(&e)));
    assert_eq!(stats.entries, 11);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_damaged_tar_gives_an_error_of_one_line_or_a_sound_image(damages in vec(damage(), 1..4)) {
        let mut tar = seed();
        damages.iter().for_each(|damage| apply(&mut tar, damage));
        match image_of(&tar) {
            Ok((image, _)) => {
                let work = Work::new();
                let path = work.path("image");
                std::fs::write(&path, image).unwrap();
                fsck(&path);
            }
            Err(error) => {
                let line = line(&error);
                prop_assert!(!line.is_empty() && line.chars().all(|c| !c.is_control()), "{:?}", line);
            }
        }
    }
}
