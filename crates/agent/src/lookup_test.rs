use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn put(directory: &Path, name: &str, content: &[u8], mode: u32) -> PathBuf {
    let file = directory.join(name);
    fs::write(&file, content).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    file
}

fn elf(machine: u16) -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01\x01".to_vec();
    head.resize(18, 0);
    head.extend(machine.to_le_bytes());
    head
}

#[test]
fn a_name_is_found_in_the_first_directory_that_has_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = put(directory.path(), "tool", b"#!/bin/sh\n", 0o755);
    let path = format!("/nonexistent:{}", directory.path().display());
    assert_eq!(find("tool", Some(&path)), Ok(file));
}

#[test]
fn a_name_that_is_nowhere_is_not_found() {
    assert_eq!(
        find("tool", Some("/nonexistent:/also")),
        Err(LookupError::NotFound("tool".to_owned()))
    );
    assert_eq!(
        find("/nonexistent/tool", None),
        Err(LookupError::NoSuchFile("/nonexistent/tool".to_owned()))
    );
    assert_eq!(find("", None), Err(LookupError::Empty));
}

#[test]
fn a_file_without_the_execute_bit_and_a_directory_are_not_executable() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "data", b"#!/bin/sh\n", 0o644);
    fs::create_dir(directory.path().join("sub")).unwrap();
    let path = directory.path().to_str();
    assert_eq!(
        find("data", path),
        Err(LookupError::NotExecutable("data".to_owned()))
    );
    assert_eq!(
        find("sub", path),
        Err(LookupError::NotExecutable("sub".to_owned()))
    );
}

#[test]
fn a_later_directory_may_have_what_an_earlier_one_cannot_run() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(first.path(), "tool", b"#!/bin/sh\n", 0o644);
    let file = put(second.path(), "tool", b"#!/bin/sh\n", 0o755);
    let path = format!("{}:{}", first.path().display(), second.path().display());
    assert_eq!(find("tool", Some(&path)), Ok(file));
}

#[test]
fn a_program_for_another_machine_is_told_from_no_program() {
    let directory = tempfile::tempdir().unwrap();
    put(directory.path(), "arm", &elf(libc::EM_ARM), 0o755);
    put(directory.path(), "native", &elf(libc::EM_X86_64), 0o755);
    put(directory.path(), "text", b"hello\n", 0o755);
    let path = directory.path().to_str();
    assert_eq!(
        find("arm", path),
        Err(LookupError::OtherArchitecture("arm".to_owned()))
    );
    assert_eq!(
        find("text", path),
        Err(LookupError::NotAProgram("text".to_owned()))
    );
    assert!(find("native", path).is_ok());
}

#[test]
fn a_fifo_does_not_block_the_search() {
    let directory = tempfile::tempdir().unwrap();
    let fifo = directory.path().join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o755), 0).unwrap();
    assert_eq!(
        find("fifo", directory.path().to_str()),
        Err(LookupError::NotExecutable("fifo".to_owned()))
    );
}
