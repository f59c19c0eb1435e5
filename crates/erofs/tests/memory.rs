//! A conversion needs at most 64 MiB of memory, whatever the layer: measured in a process of its
//! own, by the kernel's own count.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::Work;
use common::tar::Header;

const BOUND_KIB: u64 = 64 << 10;

/// The example, which `cargo test` builds beside the tests.
fn tar2erofs() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/tar2erofs");
    assert!(
        program.exists(),
        "no {}: run `cargo test -p skete-erofs`",
        program.display()
    );
    program
}

/// Feeds the example a stream; what it says, and the most memory it had, in KiB.
fn convert(feed: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> (String, u64) {
    let work = Work::new();
    let mut child = Command::new(tar2erofs())
        .arg("-")
        .arg(work.path("image"))
        .env("TAR2EROFS_MEMORY", "1")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = io::BufWriter::with_capacity(1 << 20, child.stdin.take().unwrap());
    // A refused stream is not read to its end.
    let _ = feed(&mut stdin);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let peak = said.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .unwrap()
        .parse()
        .unwrap();
    eprintln!("{said}");
    (said, peak)
}

#[test]
fn a_file_of_one_gib_is_streamed() {
    let (_, peak) = convert(|out| {
        let header = Header {
            size: 1 << 30,
            ..Header::new(b'0', "large")
        };
        out.write_all(&header.encode())?;
        let data: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
        for _ in 0..1024 {
            out.write_all(&data)?;
        }
        out.write_all(&[0; 1024])
    });
    assert!(peak <= 16 << 10, "{peak} KiB");
}

#[test]
fn a_layer_of_half_a_million_files_is_taken() {
    let (said, peak) = convert(|out| {
        for n in 0..500_000_u32 {
            let name = format!("usr/lib/node_modules/{}/{}/index-{n}.js", n / 4000, n / 40);
            // Every file has a block in the image, so only some have content here.
            let size = u64::from(n % 50 == 0);
            let header = Header {
                size,
                mtime: n.into(),
                ..Header::new(b'0', name)
            };
            out.write_all(&header.encode())?;
            out.write_all(&[7; 512][..size as usize * 512])?;
        }
        out.write_all(&[0; 1024])
    });
    assert!(said.contains("entries: 500000"), "{said}");
    assert!(peak <= BOUND_KIB, "{peak} KiB");
}

#[test]
fn a_million_entries_with_long_names_are_refused_within_the_bound() {
    let tail = "n".repeat(80);
    let (said, peak) = convert(|out| {
        for n in 0..1_000_000_u32 {
            out.write_all(&Header::new(b'0', format!("{n}{tail}")).encode())?;
        }
        out.write_all(&[0; 1024])
    });
    assert!(
        said.contains("the layer's metadata exceeds the limit of"),
        "{said}"
    );
    assert!(peak <= BOUND_KIB, "{peak} KiB");
}

#[test]
fn a_million_owners_attributes_and_maps_stay_within_the_bound() {
    let (said, peak) = convert(|out| {
        for n in 0..1_000_000_u64 {
            out.write_all(
                &Header {
                    uid: n,
                    ..Header::new(b'0', format!("{n}"))
                }
                .encode(),
            )?;
        }
        out.write_all(&[0; 1024])
    });
    assert!(peak <= BOUND_KIB, "{peak} KiB: {said}");
    let (said, peak) = convert(|out| {
        for n in 0..10_000_u64 {
            let mut tar = common::tar::Tar::new();
            let value = format!("{n:0>30000}");
            tar.pax(&[("SCHILY.xattr.user.a", value.as_bytes())])
                .file(n.to_string(), "");
            out.write_all(&tar.0)?;
        }
        out.write_all(&[0; 1024])
    });
    assert!(
        said.contains("the layer's metadata exceeds the limit of"),
        "{said}"
    );
    assert!(peak <= BOUND_KIB, "{peak} KiB: {said}");
}

#[test]
fn the_largest_layer_that_the_limit_takes_stays_within_the_bound() {
    // Names of 1 to 6 digits in one directory: the most entries that the memory holds.
    let (said, peak) = convert(|out| {
        for n in 0..900_000_u32 {
            out.write_all(&Header::new(b'0', format!("{n}")).encode())?;
        }
        out.write_all(&[0; 1024])
    });
    assert!(said.contains("entries: 900000"), "{said}");
    assert!(peak <= BOUND_KIB, "{peak} KiB");
}
