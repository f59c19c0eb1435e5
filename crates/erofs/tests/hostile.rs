//! What a layer must not do, each refused by one line that names the entry.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{self, Cursor, Read};
use std::time::{Duration, Instant};

use common::tar::{Header, Tar, checksum};
use common::{Work, image_of, line, tree};
use skete_erofs::{EntryError, Error, Limits, Name, Options, Stats, TarError, convert};

fn with(limits: Limits, tar: impl Read) -> Result<Stats, Error> {
    let mut out = Cursor::new(Vec::new());
    convert(
        tar,
        &mut out,
        &Options {
            limits,
            ..Options::default()
        },
    )
}

fn refused(tar: &Tar) -> String {
    let error = image_of(&tar.end()).expect_err("the tar is refused");
    let line = line(&error);
    assert!(!line.contains('\n'), "{line}");
    line
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../evil", "a/../../evil", "/../evil", ".."] {
        assert_eq!(
            refused(Tar::new().file(name, "x")),
            format!("tar entry \"{name}\": the name leads out of the layer")
        );
    }
}

#[test]
fn absolute_names_are_taken_from_the_layers_root() {
    let mut tar = Tar::new();
    tar.file("/etc/passwd", "in the layer")
        .file("//a/./b/../c", "c")
        .hard_link("/h", "/etc/passwd");
    let work = Work::new();
    let mount = work.mount("image", &tar.end());
    let seen = tree::see(mount.path());
    let names: Vec<_> = seen.keys().map(|p| p.to_str().unwrap()).collect();
    assert_eq!(names, ["", "a", "a/c", "etc", "etc/passwd", "h"]);
}

#[test]
fn hard_links_to_what_the_layer_does_not_hold_are_refused() {
    let link = |target: &str| {
        refused(
            Tar::new()
                .dir("d")
                .symlink("out", "..")
                .hard_link("l", target),
        )
    };
    assert_eq!(
        link("/etc/shadow"),
        "tar entry \"l\": the hard link's target \"/etc/shadow\" is not in this layer"
    );
    assert_eq!(
        link("../../etc/shadow"),
        "tar entry \"l\": the hard link's target \"../../etc/shadow\" leads out of the layer"
    );
    assert_eq!(
        link("d"),
        "tar entry \"l\": the hard link's target \"d\" is a directory"
    );
    assert_eq!(
        link("l"),
        "tar entry \"l\": the hard link's target \"l\" is not in this layer"
    );
    assert_eq!(
        link("."),
        "tar entry \"l\": the hard link's target \".\" is a directory"
    );
    // `..` of the root is the root.
    assert!(link("out/out/etc").contains("is not in this layer"));
}

#[test]
fn a_path_through_a_symbolic_link_stays_within_the_layer() {
    let mut tar = Tar::new();
    tar.symlink("abs", "/etc").file("abs/passwd", "1");
    tar.symlink("up", "../../../../up2").file("up/x", "2");
    tar.dir("usr/lib")
        .symlink("lib", "usr/lib")
        .file("lib/y", "3")
        .symlink("d/e", "../lib/.");
    tar.file("d/e/z", "4").hard_link("d/e/h", "lib/y");
    let work = Work::new();
    let mount = work.mount("image", &tar.end());
    let read = |path: &str| std::fs::read_to_string(mount.path().join(path)).unwrap();
    assert_eq!(read("etc/passwd"), "1");
    assert_eq!(read("up2/x"), "2");
    assert_eq!(read("usr/lib/y"), "3");
    assert_eq!(read("usr/lib/z"), "4");
    assert_eq!(read("usr/lib/h"), "3");
}

#[test]
fn a_path_through_a_file_or_round_in_circles_is_refused() {
    assert_eq!(
        refused(Tar::new().file("f", "x").file("f/g", "y")),
        "tar entry \"f/g\": the path leads through \"f\", which is not a directory"
    );
    assert_eq!(
        refused(
            Tar::new()
                .symlink("a", "b")
                .symlink("b", "a")
                .file("a/x", "y")
        ),
        "tar entry \"a/x\": the path leads through too many symbolic links"
    );
}

#[test]
fn truncated_streams_are_refused_wherever_they_end() {
    let mut tar = Tar::new();
    tar.file("first", vec![1; 1000])
        .pax(&[("path", b"second")])
        .file("x", vec![2; 700]);
    let whole = tar.end();
    for end in 0..tar.0.len() {
        let result = image_of(&whole[..end]);
        // At the border of an entry an archive may end without its mark; and the padding of the
        // last entry holds nothing.
        let complete = end == 0 || (1512..=1536).contains(&end) || end >= 1536 + 1024 + 512 + 700;
        match result {
            Ok(_) => assert!(complete, "cut at {end}"),
            Err(error) => {
                assert!(!complete, "cut at {end}: {}", line(&error));
                let text = line(&error);
                assert!(
                    text.contains("ends in the middle") || text.contains("belongs to no entry")
                );
            }
        }
    }
    let error = image_of(&whole[..600]).unwrap_err();
    assert_eq!(
        line(&error),
        "tar entry \"first\": the tar stream ends in the middle of it"
    );
}

#[test]
fn damaged_headers_are_refused_with_their_place() {
    let mut tar = Tar::new();
    tar.file("first", "x").file("second", "y");
    tar.0[1024 + 3] ^= 1;
    assert_eq!(
        refused(&tar),
        "bad tar stream at byte 1024: the header's checksum is wrong (not a tar archive, or damaged)"
    );
    assert!(image_of(&[0x1f; 4096]).is_err(), "not a tar at all");
    let mut lone = Tar::new().file("a", "x").0.clone();
    lone.extend([0; 512]);
    lone.extend(Header::new(b'0', "b").encode());
    assert!(line(&image_of(&lone).unwrap_err()).contains("single zero block"));
}

#[test]
fn sizes_that_overflow_are_refused() {
    for size in [u64::MAX >> 1, 1 << 62, (1 << 44) + 1] {
        let mut tar = Tar::new();
        tar.header(&Header {
            size,
            ..Header::new(b'0', "big")
        });
        let line = refused(&tar);
        assert!(line.starts_with("tar entry \"big\": a file of"), "{line}");
    }
    let mut tar = Tar::new();
    tar.pax(&[("size", b"18446744073709551615")])
        .file("big", "");
    assert!(refused(&tar).contains("exceeds the limit"));
    tar = Tar::new();
    tar.pax(&[("size", b"18446744073709551616")])
        .file("big", "");
    assert!(refused(&tar).contains("the PAX record size has a malformed value"));
    // A base-256 number of more than 63 bits, and a negative one.
    for bytes in [
        [
            0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
        [0xff; 12],
    ] {
        let mut block = Header::new(b'0', "big").encode();
        block[124..136].copy_from_slice(&bytes);
        checksum(&mut block);
        assert!(line(&image_of(&block).unwrap_err()).contains("the field size is not a number"));
    }
}

#[test]
fn owners_and_devices_beyond_linux_are_refused() {
    let mut tar = Tar::new();
    tar.pax(&[("uid", b"4294967296")]).file("f", "");
    assert_eq!(
        refused(&tar),
        "tar entry \"f\": the uid 4294967296 does not fit into 32 bits"
    );
    let device = Header {
        device: (4096, 0),
        ..Header::new(b'3', "dev")
    };
    assert_eq!(
        refused(Tar::new().add(&device, b"")),
        "tar entry \"dev\": no such device number: 4096:0"
    );
}

#[test]
fn odd_names_links_and_types_are_refused() {
    let line = |tar: &mut Tar| refused(tar);
    assert!(line(Tar::new().file("", "x")).contains("tar entry \"\": the name is empty"));
    assert!(
        line(Tar::new().file(".", "x")).contains("the root of the layer can only be a directory")
    );
    assert!(line(Tar::new().pax(&[("path", b"a\0b")]).file("f", "")).contains("\"a\\0b\""));
    assert!(
        line(Tar::new().symlink("s", "")).contains("tar entry \"s\": the symbolic link's target")
    );
    let long = "x".repeat(4096);
    assert!(
        line(
            Tar::new()
                .pax(&[("linkpath", long.as_bytes())])
                .symlink("s", "")
        )
        .contains("too long")
    );
    let name = "y".repeat(256);
    assert!(
        line(Tar::new().pax(&[("path", name.as_bytes())]).file("f", "")).contains("limit of 255")
    );
    let path = "z/".repeat(2100);
    assert!(
        line(Tar::new().pax(&[("path", path.as_bytes())]).file("f", "")).contains("limit of 4095")
    );
    assert_eq!(
        line(Tar::new().add(&Header::new(b'M', "m"), b"")),
        "tar entry \"m\": entries of type 'M' are not supported"
    );
    // What a terminal would act on never reaches it.
    let shown = line(
        Tar::new()
            .file("\x1b[2J\n\u{202e}\0", "")
            .file("../\x1b[2J\r\u{7f}", ""),
    );
    assert!(shown.chars().all(|c| !c.is_control()), "{shown:?}");
}

#[test]
fn extension_headers_that_are_huge_or_alone_are_refused() {
    for kind in [b'L', b'K', b'x'] {
        let mut tar = Tar::new();
        tar.header(&Header {
            size: 1 << 40,
            ..Header::new(kind, "ext")
        });
        assert!(refused(&tar).contains("an extended header of 1099511627776 bytes is too large"));
        assert!(
            refused(Tar::new().add(&Header::new(kind, "ext"), b"9 path=x\n")).contains("no entry")
        );
    }
    let many = Tar::new()
        .pax(&[("path", b"a")])
        .pax(&[("path", b"b")])
        .file("f", "")
        .clone();
    assert!(refused(&many).contains("belongs to no entry"));
}

#[test]
fn sparse_maps_that_lie_are_refused() {
    let map = |map: &str, size: &str| {
        let mut tar = Tar::new();
        let records: &[(&str, &[u8])] = &[
            ("GNU.sparse.map", map.as_bytes()),
            ("GNU.sparse.size", size.as_bytes()),
        ];
        tar.pax(records).file("sparse", "0123456789");
        tar
    };
    assert!(image_of(&map("0,5,10,5", "20").end()).is_ok());
    for (segments, size) in [
        ("0,5,4,5", "20"),
        ("10,5,0,5", "20"),
        ("0,5,16,5", "20"),
        ("0,5", "20"),
        ("0,5,10,6", "20"),
        ("18446744073709551615,1,0,9", "20"),
        ("18446744073709551615,10", "20"),
        ("", "20"),
    ] {
        let line = refused(&map(segments, size));
        assert_eq!(
            line, "tar entry \"sparse\": the sparse file's map is malformed",
            "{segments}"
        );
    }
    // Version 1.0: the map before the data never ends, or has no end.
    let leading = |data: &[u8]| {
        let mut tar = Tar::new();
        let records: &[(&str, &[u8])] =
            &[("GNU.sparse.major", b"1"), ("GNU.sparse.realsize", b"9")];
        tar.pax(records).file("sparse", data);
        refused(&tar)
    };
    for data in [
        &b""[..],
        &[b'1'; 512],
        b"1\n0\n",
        b"x\n",
        b"1\n0\n9\n",
        &[b'\n'; 512],
    ] {
        assert!(leading(data).contains("map is malformed"), "{data:?}");
    }
    assert!(
        leading(&[b"99999999\n", &[b'0'; 512][..]].concat()).contains("more than 65536 segments")
    );
}

#[test]
fn attributes_beyond_the_limits_are_refused() {
    let mut tar = Tar::new();
    let value = vec![b'v'; 60_000];
    tar.pax(&[
        ("SCHILY.xattr.user.a", &value),
        ("SCHILY.xattr.user.b", &value),
        ("SCHILY.xattr.user.c", &value),
    ]);
    tar.file("f", "");
    assert_eq!(
        refused(&tar),
        "tar entry \"f\": extended attributes of 180018 bytes exceed the limit of 131072"
    );
    let mut tar = Tar::new();
    tar.pax(&[("SCHILY.xattr.user.", b"x")]).file("f", "");
    assert!(refused(&tar).contains("the extended attribute \"user.\""));
}

#[test]
fn each_limit_is_enforced_and_named() {
    let tar = Tar::new()
        .dir("d")
        .file("d/f", vec![1; 100_000])
        .file("d/g", "x")
        .end();
    assert!(with(Limits::default(), &tar[..]).is_ok());
    let refused = |limits| line(&with(limits, &tar[..]).unwrap_err());
    let limits = Limits {
        max_entries: 2,
        ..Limits::default()
    };
    assert_eq!(
        refused(limits),
        "tar entry \"d/g\": the layer has more than 2 entries"
    );
    let limits = Limits {
        max_image_bytes: 50_000,
        ..Limits::default()
    };
    assert_eq!(
        refused(limits),
        "tar entry \"d/f\": with it the image exceeds the limit of 50000 bytes"
    );
    let limits = Limits {
        max_image_bytes: 110_000,
        ..Limits::default()
    };
    assert_eq!(
        refused(limits),
        "the image exceeds the limit of 110000 bytes"
    );
    let limits = Limits {
        max_file_bytes: 99_999,
        ..Limits::default()
    };
    assert_eq!(
        refused(limits),
        "tar entry \"d/f\": a file of 100000 bytes exceeds the limit of 99999"
    );
    let limits = Limits {
        max_tar_bytes: 50_000,
        ..Limits::default()
    };
    assert!(refused(limits).ends_with("the stream exceeds the limit of 50000 bytes"));
    let limits = Limits {
        max_path_bytes: 2,
        ..Limits::default()
    };
    assert_eq!(
        refused(limits),
        "tar entry \"d/f\": a path of 3 bytes exceeds the limit of 2"
    );
    let limits = Limits {
        max_metadata_bytes: 1000,
        ..Limits::default()
    };
    assert_eq!(
        refused(limits),
        "tar entry \"d\": the layer's metadata exceeds the limit of 1000 bytes"
    );
}

#[test]
fn errors_are_typed() {
    let error = image_of(&Tar::new().file("../x", "").end()).unwrap_err();
    let Error::Entry { entry, source } = error else {
        panic!("{error}")
    };
    assert_eq!((entry, source), (Name::new(b"../x"), EntryError::Escapes));
    let error = image_of(&[1; 512]).unwrap_err();
    assert!(matches!(
        error,
        Error::Stream {
            offset: 0,
            source: TarError::Number("checksum")
        }
    ));
}

#[test]
fn four_gib_of_zeros_cost_neither_room_nor_much_time() {
    let begin = Instant::now();
    let header = Header {
        size: 4 << 30,
        ..Header::new(b'0', "zeros")
    }
    .encode();
    let stream = header
        .chain(io::repeat(0).take(4 << 30))
        .chain(&[0; 1024][..]);
    let stats = with(Limits::default(), stream).unwrap();
    assert_eq!(stats.hole_bytes, 4 << 30);
    assert!(stats.image_bytes <= 8192, "{stats:?}");
    assert!(
        begin.elapsed() < Duration::from_secs(60),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn an_endless_stream_ends_at_the_limit() {
    let limits = Limits {
        max_tar_bytes: 64 << 20,
        ..Limits::default()
    };
    let error = with(limits, io::repeat(0)).unwrap_err();
    assert!(line(&error).ends_with("the stream exceeds the limit of 67108864 bytes"));
}

#[test]
fn a_file_that_is_almost_all_hole_has_a_small_map() {
    let mut tar = Tar::new();
    // 16 TiB with a byte in the middle: the chunks grow with the file.
    let records: &[(&str, &[u8])] = &[
        ("GNU.sparse.map", b"8796093022208,1"),
        ("GNU.sparse.size", b"17592186044416"),
    ];
    tar.pax(records).file("vast", "x");
    let (image, stats) = image_of(&tar.end()).unwrap();
    assert!(image.len() < 70 << 20, "{stats:?}");
}

#[test]
fn a_failing_source_and_a_full_disk_are_told_apart() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the network is gone"))
        }
    }
    let head = Header {
        size: 1000,
        ..Header::new(b'0', "f")
    }
    .encode();
    let error = with(Limits::default(), head.chain(Broken)).unwrap_err();
    assert_eq!(
        line(&error),
        "cannot read the tar stream after 512 bytes: the network is gone"
    );
    let mut full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let error = convert(
        &Tar::new().file("f", "x").end()[..],
        &mut full,
        &Options::default(),
    );
    assert!(line(&error.unwrap_err()).starts_with("cannot write the image: "));
    let mut used = Cursor::new(vec![1; 10]);
    let error = convert(&[][..], &mut used, &Options::default()).unwrap_err();
    assert_eq!(line(&error), "the image's file is not empty (10 bytes)");
}
