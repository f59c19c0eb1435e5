use super::*;
use crate::conflist::Protocol;

fn records() -> (tempfile::TempDir, Records) {
    let directory = tempfile::tempdir().unwrap();
    let records = Records::new(directory.path().join("state"));
    (directory, records)
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let (_directory, records) = records();
    let _lock = records.lock("a").unwrap();
    let port = PortMapping {
        host_port: 53,
        container_port: 5353,
        protocol: Protocol::Udp,
        host_ip: Some("192.0.2.1".parse().unwrap()),
    };
    let ports = vec![port];
    let result = Some(serde_json::json!({ "ips": [] }));
    let record = Record {
        ports: ports.clone(),
        configuration: None,
        result: result.clone(),
    };

    records.store("a", &record).unwrap();

    let read = records.load("a").unwrap().unwrap();
    assert_eq!((read.ports, read.result), (ports, result));
    assert!(records.load("b").unwrap().is_none());
}

#[test]
fn a_lock_without_a_record_and_a_lease_are_found() {
    let (_directory, records) = records();
    drop(records.lock("locked").unwrap());
    let leases = records.leases().join(NETWORK);
    fs::create_dir_all(&leases).unwrap();
    fs::write(leases.join("10.83.0.9"), "leased\r\neth0").unwrap();
    fs::write(leases.join("fd53::9"), "leased\r\neth0").unwrap();
    fs::write(leases.join("last_reserved_ip.0"), "10.83.0.9").unwrap();
    fs::write(leases.join("10.83.0.10"), "../../wrong").unwrap();

    assert_eq!(records.list().unwrap(), ["leased", "locked"]);
    records.free_leases("leased").unwrap();
    records.remove("locked").unwrap();
    assert_eq!(records.list().unwrap(), Vec::<String>::new());
    assert!(leases.join("last_reserved_ip.0").exists());
}

#[test]
fn who_waits_for_a_lock_that_is_removed_gets_a_lock_that_is_there() {
    let (_directory, records) = records();
    let first = records.lock("a").unwrap();
    let second = {
        let records = records.clone();
        std::thread::spawn(move || {
            let lock = records.lock("a").unwrap();
            let locked = lock.metadata().unwrap().ino();
            locked == fs::metadata(records.lock_path("a")).unwrap().ino()
        })
    };
    std::thread::sleep(Duration::from_millis(30));
    assert!(!second.is_finished());

    records.remove("a").unwrap();
    drop(first);

    assert!(second.join().unwrap());
}

#[test]
fn an_id_that_leads_elsewhere_is_refused() {
    let (_directory, records) = records();
    for id in [
        "",
        "..",
        ".hidden",
        "a/b",
        "-a",
        "a b",
        "ä",
        &"a".repeat(201),
    ] {
        assert!(matches!(records.lock(id), Err(Error::Id(_))), "{id}");
    }
    assert!(records.lock("Web-1.example_com").is_ok());
}
