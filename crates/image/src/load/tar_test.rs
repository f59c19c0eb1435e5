use super::*;

use std::io::Write;
use std::process::Command;

/// An archive made by GNU tar from files made by a shell script.
fn archive(script: &str, options: &[&str]) -> Result<Archive, Error> {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(folder.path())
        .status()
        .unwrap();
    assert!(made.success());
    let out = folder.path().with_extension("tar");
    let status = Command::new("tar")
        .args(options)
        .arg("-cf")
        .args([out.as_path(), "-C".as_ref(), folder.path(), ".".as_ref()])
        .status()
        .unwrap();
    assert!(status.success());
    let file = File::open(&out).unwrap();
    std::fs::remove_file(out).unwrap();
    Archive::index(file)
}

fn content(archive: &Archive, name: &str) -> Option<String> {
    let mut text = String::new();
    archive.open(name)?.read_to_string(&mut text).unwrap();
    Some(text)
}

fn index(bytes: &[u8]) -> Result<Archive, Error> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Archive::index(file)
}

#[test]
fn files_are_found_in_every_format_that_gnu_tar_writes() {
    let long = "d/".repeat(40) + &"x".repeat(150);
    let folder = "d/".repeat(40);
    let script =
        format!("echo -n short > a; mkdir -p {folder}; echo -n long > {long}; ln -s a b; ln a c");
    for format in ["gnu", "posix", "pax"] {
        let archive = archive(&script, &["--format", format]).unwrap();
        assert_eq!(content(&archive, "a").as_deref(), Some("short"), "{format}");
        assert_eq!(
            content(&archive, "./b").as_deref(),
            Some("short"),
            "{format}"
        );
        assert_eq!(content(&archive, "c").as_deref(), Some("short"), "{format}");
        assert_eq!(
            content(&archive, &long).as_deref(),
            Some("long"),
            "{format}"
        );
        assert_eq!(content(&archive, "d"), None, "{format}");
    }
}

#[test]
fn links_are_followed_within_the_archive_and_not_for_ever() {
    let archive = archive(
        "mkdir x y; echo -n layer > x/layer.tar; ln -s ../x/layer.tar y/layer.tar
         ln -s /etc/passwd abs; ln -s ../../../etc/passwd out; ln -s l2 l1; ln -s l1 l2",
        &[],
    )
    .unwrap();
    assert_eq!(content(&archive, "y/layer.tar").as_deref(), Some("layer"));
    assert_eq!(
        content(&archive, "y/../x/layer.tar").as_deref(),
        Some("layer")
    );
    for name in ["abs", "out", "l1", "l2", "../a", "/etc/passwd", ""] {
        assert_eq!(content(&archive, name), None, "{name}");
    }
}

#[test]
fn what_is_not_an_archive_is_told_with_the_place() {
    assert!(matches!(index(b""), Err(Error::Truncated { at: 0 })));
    assert!(matches!(
        index(&[b'x'; 600]),
        Err(Error::Malformed { at: 0, .. })
    ));
    // An empty archive is one.
    assert!(index(&[0; 1024]).unwrap().entries.is_empty());
}

/// A header of a kind with a size, its sum right.
fn header(kind: u8, size: &[u8; 12]) -> [u8; 512] {
    let mut block = [0; 512];
    block[0] = b'a';
    block[124..136].copy_from_slice(size);
    block[156] = kind;
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[test]
fn sizes_that_lie_do_no_harm() {
    let huge = [
        0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    ];
    assert!(matches!(
        index(&header(b'0', &huge)),
        Err(Error::Truncated { .. })
    ));
    assert!(matches!(
        index(&header(b'0', &[0xff; 12])),
        Err(Error::Malformed { .. })
    ));
    assert!(matches!(
        index(&header(b'0', b"99999999999\0")),
        Err(Error::Malformed { .. })
    ));
    assert!(matches!(
        index(&header(b'0', b"00000001000\0")),
        Err(Error::Truncated { .. })
    ));
    let mut long = header(b'x', b"00001000000\0").to_vec();
    long.resize(1 << 20, b'9');
    assert!(matches!(
        index(&long),
        Err(Error::Malformed {
            reason: "a header is too long",
            ..
        })
    ));
    let mut bad = header(b'x', b"00000000020\0").to_vec();
    bad.resize(1024, b'9');
    assert!(matches!(
        index(&bad),
        Err(Error::Malformed {
            reason: "a PAX header is wrong",
            ..
        })
    ));
}
