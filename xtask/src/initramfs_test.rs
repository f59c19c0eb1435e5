use std::io::Write;

use super::*;

/// An ELF header with one program header of this kind.
fn program(kind: u32) -> Vec<u8> {
    let mut bytes = vec![0; 64 + 56];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[32] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64..68].copy_from_slice(&kind.to_le_bytes());
    bytes
}

#[test]
fn an_agent_that_needs_an_interpreter_is_refused() {
    assert_eq!(check(&program(1)), Ok(()));
    assert_eq!(check(&program(3)), Err("it is not statically linked"));
    assert_eq!(check(b"#!/bin/sh\n"), Err("it is not a 64-bit ELF program"));
    assert_eq!(check(&program(1)[..60]), Err("its headers are cut off"));
    assert_eq!(check(&program(1)[..66]), Err("its headers are cut off"));
}

#[test]
fn the_archive_lists_the_same_way_with_cpio() {
    let mut child = std::process::Command::new("cpio")
        .args(["--quiet", "-itvn", "--no-absolute-filenames"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .spawn()
        .unwrap();
    let bytes = archive(&[7; 4097]);
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let list = String::from_utf8(output.stdout).unwrap();
    let list: Vec<Vec<&str>> = list
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    let seen: Vec<(&str, &str, &str)> = list.iter().map(|l| (l[0], l[4], l[l.len() - 1])).collect();
    let expected = [
        ("drwxr-xr-x", "0", "dev"),
        ("drwxr-xr-x", "0", "proc"),
        ("drwxr-xr-x", "0", "run"),
        ("drwxr-xr-x", "0", "sys"),
        ("crw-------", "5,", "dev/console"),
        ("-rwxr-xr-x", "4097", "init"),
    ];
    assert_eq!(seen, expected);
    assert_eq!(
        bytes,
        archive(&[7; 4097]),
        "the same agent gives the same archive"
    );
}
