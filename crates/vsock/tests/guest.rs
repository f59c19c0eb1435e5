//! The device with the real kernel's driver.

// Clippy allows these in tests, but not in what tests call.
#![allow(clippy::expect_used, clippy::unwrap_used)]

mod machine;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use machine::{Machine, send_stream, take_stream, wait_for};

const MIB: usize = 1024 * 1024;

#[test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
fn a_guest_echoes_and_refuses() {
    let machine = Machine::boot();

    let mut echo = machine.connect(1000);
    for round in 0..100 {
        let line = format!("round {round}\n");
        echo.write_all(line.as_bytes()).unwrap();
        let mut back = vec![0; line.len()];
        echo.read_exact(&mut back).unwrap();
        assert_eq!(back, line.as_bytes());
    }
    assert!(machine.try_connect(4711).is_none(), "nobody listens there");
}

#[test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
fn a_guest_of_two_processors_has_the_device_without_pci() {
    let machine = Machine::boot_with(
        "microvm,acpi=off,pit=on,pic=on,rtc=on",
        "vhost-user-vsock-device",
        &["-smp", "2", "-global", "virtio-mmio.force-legacy=false"],
    );

    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut source = machine.connect(1002);
                source.write_all(&(8 * MIB as u64).to_le_bytes()).unwrap();
                assert_eq!(take_stream(&source), 8 * MIB);
            });
        }
    });
}

#[test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
fn every_byte_arrives_both_ways_and_after_a_half_close() {
    let machine = Machine::boot();

    // Host to guest; the answer comes only after the end of the stream.
    let sink = machine.connect(1001);
    send_stream(&sink, 64 * MIB + 3);
    sink.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    (&sink).read_to_string(&mut answer).unwrap();
    assert_eq!(answer, format!("{} bytes, 0 wrong\n", 64 * MIB + 3));

    // Guest to host.
    let mut source = machine.connect(1002);
    source
        .write_all(&(64 * MIB as u64 + 5).to_le_bytes())
        .unwrap();
    assert_eq!(take_stream(&source), 64 * MIB + 5);

    // The guest ends its direction first, and still takes ours.
    let mut first = machine.connect(1003);
    first.write_all(&(MIB as u64).to_le_bytes()).unwrap();
    assert_eq!(take_stream(&first), MIB);
    send_stream(&first, MIB);
    first.shutdown(Shutdown::Write).unwrap();
    let wanted = format!("after its end: {MIB} bytes, 0 wrong");
    let start = Instant::now();
    while !machine.console().contains(&wanted) {
        assert!(start.elapsed() < machine::PATIENCE, "{}", machine.console());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
fn a_slow_reader_holds_up_nobody_else_and_loses_nothing() {
    let machine = Machine::boot();

    let mut slow = machine.connect(1002);
    slow.write_all(&(8 * MIB as u64).to_le_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let mut fast = machine.connect(1002);
    fast.write_all(&(8 * MIB as u64).to_le_bytes()).unwrap();

    assert_eq!(take_stream(&fast), 8 * MIB);
    assert_eq!(take_stream(&slow), 8 * MIB);
}

#[test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
fn a_guest_that_takes_no_more_makes_the_host_notice() {
    let machine = Machine::boot();

    let mut deaf = machine.connect(1006);
    let mut line = [0; 5];
    deaf.read_exact(&mut line).unwrap();
    let start = Instant::now();
    let error = loop {
        match deaf.write_all(&[0; 4096]) {
            Ok(()) => assert!(start.elapsed() < machine::PATIENCE),
            Err(error) => break error,
        }
    };

    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

#[test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
fn a_guest_reaches_the_host_ports_that_have_a_socket_and_no_others() {
    let machine = Machine::boot();
    let listener = machine.listen(7);
    let host = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let total = take_stream(&stream);
        (&stream)
            .write_all(format!("{total} bytes").as_bytes())
            .unwrap();
    });

    let call = |port: u32| {
        let mut stream = machine.connect(1007);
        stream.write_all(&port.to_le_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };

    assert_eq!(call(7), "100000 bytes");
    host.join().unwrap();
    assert_eq!(call(8), "ECONNRESET");
}

#[test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
fn a_thousand_connections_live_at_once_and_leave_nothing() {
    let machine = Machine::boot();

    let mut streams: Vec<UnixStream> = (0..1200).map(|_| machine.connect(1000)).collect();
    for (index, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("{index:08}").as_bytes()).unwrap();
    }
    for (index, stream) in streams.iter_mut().enumerate() {
        let mut back = [0; 8];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(back, format!("{index:08}").as_bytes());
    }
    let open = descriptors(&machine);
    let resident = machine.memory("RssAnon") + machine.memory("RssFile");
    drop(streams);

    assert!(open >= 1200);
    assert!(
        resident <= 5 * 1024,
        "{resident} KiB besides the guest's pages"
    );
    let start = Instant::now();
    while descriptors(&machine) > 40 {
        assert!(start.elapsed() < machine::PATIENCE, "descriptors stay open");
        std::thread::sleep(Duration::from_millis(20));
    }
    machine.connect(1000);
}

#[test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
fn a_guest_that_dies_in_mid_stream_ends_the_stream_and_the_device() {
    let mut machine = Machine::boot();

    let mut source = machine.connect(1002);
    source
        .write_all(&(1024 * MIB as u64).to_le_bytes())
        .unwrap();
    let mut some = vec![0; MIB];
    source.read_exact(&mut some).unwrap();
    machine.qemu.kill().unwrap();

    let mut rest = Vec::new();
    source.read_to_end(&mut rest).unwrap();
    assert!(rest.len() < 16 * MIB);
    assert!(wait_for(&mut machine.vsock), "the device ends well");
}

#[test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
fn a_guest_that_shuts_down_ends_all_streams_and_the_device() {
    let mut machine = Machine::boot();
    let mut echo = machine.connect(1000);

    // It may restart before its answer is on its way.
    machine.try_connect(1009);

    assert_eq!(echo.read(&mut [0]).unwrap(), 0);
    assert!(wait_for(&mut machine.qemu));
    assert!(wait_for(&mut machine.vsock));
}

#[test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
fn a_guest_that_reboots_finds_the_device_anew() {
    let machine = Machine::boot_with("pc", "vhost-user-vsock-pci", &[]);
    for _ in 0..3 {
        let mut echo = machine.connect(1000);
        machine.try_connect(1009);
        assert_eq!(echo.read(&mut [0]).unwrap(), 0);
        machine.wait_until_ready();
    }

    let mut echo = machine.wait_until_ready();
    echo.write_all(b"again").unwrap();
    let mut back = [0; 5];
    echo.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"again");
}

#[test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
fn a_guest_that_floods_the_host_gets_no_more_than_its_share() {
    allow_many_descriptors();
    let machine = Machine::boot();
    let listener = machine.listen(7);
    std::thread::spawn(move || {
        let mut streams = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            streams.push(stream);
        }
    });

    let mut flood = machine.connect(1008);
    flood.write_all(&7u32.to_le_bytes()).unwrap();
    flood.write_all(&5000u32.to_le_bytes()).unwrap();
    let mut got = [0; 4];
    flood.read_exact(&mut got).unwrap();

    // All of the 4096 but the one that asked for it, which then ends.
    assert_eq!(u32::from_le_bytes(got), 4095);
    assert_eq!(flood.read(&mut got).unwrap(), 0);
    let last = machine.wait_until_ready();
    assert!(machine.try_connect(1000).is_none(), "there is no room");
    drop(last);
    machine.wait_until_ready();
    let resident = machine.memory("RssAnon");
    assert!(resident < 8 * 1024, "{resident} KiB");
}

fn allow_many_descriptors() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
}

fn descriptors(machine: &Machine) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", machine.vsock.id()))
        .unwrap()
        .count()
}
