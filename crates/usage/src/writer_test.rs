use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::*;
use crate::clock::SystemClock;
use crate::directory::Directory;
use crate::pod_use::Ended;
use crate::reader::Reader;
use crate::record::tests::opening;
use crate::record::{Counters, EndReason};
use crate::window::Window;

fn host(cpu_ns: u64) -> Event {
    Event::Host(Counters {
        cpu_ns,
        ..Counters::default()
    })
}

#[test]
fn a_journal_is_closed_to_others_and_survives_what_is_pending() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("usage/boot/skete/a-1.journal");
    let mut writer = Writer::create(&path, opening(), SystemClock).unwrap();
    writer.write(host(1)).unwrap();
    let first = writer.pending().unwrap();
    assert!(!first.named, "the way to a new file is put on the disk too");
    first.sync().unwrap();
    writer.write(Event::End(EndReason::Ended)).unwrap();
    writer.pending().unwrap().sync().unwrap();

    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&dir.path().join("usage")), 0o700);
    assert_eq!(path.metadata().unwrap().len(), writer.length());
    let again = Writer::create(&path, opening(), SystemClock);
    assert!(matches!(again, Err(WriteError::Io { action: "make", .. })));
    assert!(path.exists(), "another's journal is not removed");
}

#[test]
fn a_journal_tells_whether_its_writer_is_alive_and_whose_it_is() {
    let state = tempfile::tempdir().unwrap();
    let directory = Directory::below(state.path());
    let place = directory.place("8c7d", "skete", "a1b2", 7);
    let mut writer = Writer::create(&place, opening(), SystemClock).unwrap();
    let ended = || {
        let all = directory.all().unwrap();
        let found = all[0].fold(Window::ALL).unwrap();
        found.unwrap().ended
    };

    assert_eq!(ended(), Ended::Running);
    fs::write(directory.path().join("ledger.db"), "beside them").unwrap();
    writer.write(host(1)).unwrap();
    assert_eq!(ended(), Ended::Running);
    drop(writer);
    assert_eq!(ended(), Ended::Bounded);

    let of = |id| directory.of_sandbox("8c7d", "skete", id).unwrap().len();
    assert_eq!((of("a1b2"), of("a1b"), of("a1b2-7")), (1, 0, 0));
    let elsewhere = directory.place("other", "skete", "a1b2", 7);
    fs::create_dir_all(elsewhere.parent().unwrap()).unwrap();
    fs::copy(&place, &elsewhere).unwrap();
    let told = directory.all().unwrap()[1].fold(Window::ALL).unwrap_err();
    assert!(told.source.to_string().contains("another node's"), "{told}");
}

#[test]
fn labels_that_no_api_server_lets_pass_are_refused_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.journal");
    let mut large = opening();
    let label = "x".repeat(MAX_LINE);
    large.pod.labels.insert("label".into(), label);
    let told = Writer::create(&path, large, SystemClock).unwrap_err();
    assert!(matches!(told, WriteError::TooLong));
    assert!(!path.exists());
}

/// A file system of two pages, mounted.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Self {
        let small = Self(tempfile::tempdir().unwrap());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8k", "small"])
            .arg(small.0.path())
            .status();
        assert!(mounted.unwrap().success(), "this test mounts: be root");
        small
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_breaks_no_record_and_is_written_to_again_when_there_is_room() {
    let disk = Small::mount();
    let path = disk.0.path().join("a.journal");
    let filler = disk.0.path().join("filler");
    fs::write(&filler, [0; 4096]).unwrap();
    let mut writer = Writer::create(&path, opening(), SystemClock).unwrap();
    let mut written = 0;
    let refused = loop {
        match writer.write(host(written)) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(
        refused,
        WriteError::Io {
            action: "write",
            ..
        }
    ));
    assert_eq!(path.metadata().unwrap().len(), writer.length());

    fs::remove_file(filler).unwrap();
    writer.write(Event::End(EndReason::Stopped)).unwrap();
    let bytes = fs::read(&path).unwrap();
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let records = (&mut reader).collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(records.len() as u64, written + 1);
    assert_eq!(reader.torn_bytes(), 0);
}
