use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::testing::{Machine, assert_true, assert_verified, counted, told};

#[test]
fn a_ledger_is_closed_to_others_and_acknowledges_only_what_is_on_the_disk() {
    let machine = Machine::new();
    let mut ledger = machine.ledger();
    machine.live("a", "one", 5);
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let path = ledger.path().to_owned();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for file in [path.clone(), path.with_extension("db-wal")] {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    let sqlite = &ledger.sqlite;
    let number = sqlite.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
    assert_eq!(number.unwrap(), 2);
    let mode = sqlite.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    assert_eq!(mode.unwrap(), "wal");
    drop(ledger);
    assert_true(&machine, &Ledger::open(&path).unwrap());
}

#[test]
fn what_is_no_ledger_of_this_version_is_told_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.db");
    let told_of = || {
        let before = fs::read(&path).ok();
        let told = told(&Ledger::open(&path).unwrap_err());
        assert_eq!(fs::read(&path).ok(), before, "it was written to");
        told.strip_prefix(&format!("ledger {}: ", path.display()))
            .unwrap()
            .to_owned()
    };
    assert_eq!(told_of(), "is not there: `skete ledger ingest` makes it");
    let another = "is not a ledger of skete but another file: move it away";
    fs::write(&path, "name,amount\n".repeat(100)).unwrap();
    assert_eq!(told_of(), another);
    assert!(told(&Ledger::create(&path).unwrap_err()).ends_with(another));

    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    other.close().unwrap();
    assert_eq!(told_of(), another);

    fs::remove_file(&path).unwrap();
    let ledger = Ledger::create(&path).unwrap();
    let newer = VERSION + 1;
    ledger
        .sqlite
        .pragma_update(None, "user_version", newer)
        .unwrap();
    drop(ledger);
    let expected = format!("has version {newer}, and this program knows {VERSION}: ");
    assert!(told_of().starts_with(&expected), "{}", told_of());
}

#[test]
fn a_ledger_that_another_writes_to_is_told_and_loses_nothing() {
    let machine = Machine::new();
    machine.live("a", "one", 5);
    let mut ledger = machine.ledger();
    let mut other = machine.ledger();
    let writing = other.transaction().unwrap();
    ledger.sqlite.busy_timeout(Duration::ZERO).unwrap();
    let journals = || machine.journals.all().unwrap();
    let error = ledger.ingest(journals()).unwrap_err();
    assert!(matches!(error.source, Problem::Busy), "{error:?}");
    assert_eq!(counted(&ledger), Default::default());
    drop(writing);
    ledger.ingest(journals()).unwrap();
    assert_true(&machine, &other);
}

#[test]
fn a_damaged_file_is_told() {
    let machine = Machine::new();
    machine.live("a", "one", 500);
    let mut ledger = machine.ledger();
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    drop(ledger);
    let path = machine.ledger_path();
    let mut bytes = fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    for page in 1..pages {
        bytes[page * 4096..page * 4096 + 100].fill(0xff);
    }
    fs::write(&path, bytes).unwrap();
    let told = match Ledger::open(&path) {
        Ok(ledger) => told(&ledger.verify(None, |_| {}).unwrap_err()),
        Err(error) => told(&error),
    };
    assert!(told.contains("is damaged: take it from a backup"), "{told}");
}

#[test]
fn a_backup_is_the_ledger_as_it_was_and_overwrites_nothing() {
    let machine = Machine::new();
    machine.live("a", "one", 500);
    let mut ledger = machine.ledger();
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    ledger.close_before(i64::MAX).unwrap();
    let file = machine.state.join("copy.db");
    ledger.backup(&file).unwrap();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let copy = Ledger::open(&file).unwrap();
    assert_true(&machine, &copy);
    let head = |ledger: &Ledger| ledger.status().unwrap().closed;
    assert_eq!(head(&copy), head(&ledger));
    drop(copy);

    let bytes = fs::read(&file).unwrap();
    let refused = told(&ledger.backup(&file).unwrap_err());
    assert!(refused.contains("cannot be copied to"), "{refused}");
    assert_eq!(fs::read(&file).unwrap(), bytes);
    let nowhere = ledger.backup(&machine.state.join("nowhere/copy.db"));
    assert!(nowhere.is_err());
}

/// A file system of a megabyte, mounted.
struct Small(TempDir);

impl Small {
    fn mount() -> Self {
        let small = Self(tempfile::tempdir().unwrap());
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "small"])
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
fn a_full_disk_takes_nothing_half_and_all_of_it_when_there_is_room() {
    let machine = Machine::new();
    let disk = Small::mount();
    let path = disk.0.path().join("ledger.db");
    let mut ledger = Ledger::create(&path).unwrap();
    machine.live("a", "one", 100);
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    let before = counted(&ledger);
    assert_eq!(before, machine.truth());

    machine.live("a-2", "two", 20_000);
    let error = ledger.ingest(machine.journals.all().unwrap()).unwrap_err();
    assert!(matches!(error.source, Problem::Full), "{error:?}");
    assert_eq!(counted(&ledger), before);
    assert_verified(&ledger);

    let room = Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(disk.0.path())
        .status();
    assert!(room.unwrap().success());
    ledger.ingest(machine.journals.all().unwrap()).unwrap();
    assert_true(&machine, &ledger);
    drop(ledger);
}
