//! The device's figures with the real kernel's driver, under emulation:
//! `SKETE_TEST_KERNEL=vmlinux cargo bench -p skete-vsock`.

// A figure that cannot be had ends the run.
#![allow(clippy::expect_used, clippy::unwrap_used)]

#[allow(dead_code)]
#[path = "../tests/machine/mod.rs"]
mod machine;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use machine::Machine;

const MIB: usize = 1024 * 1024;
const BULK: usize = 256 * MIB;

fn main() {
    let machine = Machine::boot();
    memory(&machine, "idle");
    round_trip(&machine);
    connects(&machine);
    to_guest(&machine, 1);
    to_host(&machine, 1);
    to_guest(&machine, 16);
    to_host(&machine, 16);
    let held: Vec<UnixStream> = (0..1000).map(|_| machine.connect(1000)).collect();
    memory(&machine, "1000 connections");
    drop(held);
}

fn memory(machine: &Machine, when: &str) {
    let [rss, anon, file, shared] =
        ["VmRSS", "RssAnon", "RssFile", "RssShmem"].map(|key| machine.memory(key));
    println!("memory, {when}: {rss} KiB (own {anon}, program {file}, guest pages {shared})");
}

fn round_trip(machine: &Machine) {
    let mut echo = machine.connect(1000);
    let mut times: Vec<f64> = (0..2000)
        .map(|_| {
            let start = Instant::now();
            echo.write_all(&[1]).unwrap();
            echo.read_exact(&mut [0]).unwrap();
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    println!(
        "round trip: median {:.0} µs, 99 % {:.0} µs",
        times[1000], times[1980]
    );
}

fn connects(machine: &Machine) {
    let start = Instant::now();
    for _ in 0..500 {
        machine.connect(1000);
    }
    let each = start.elapsed().as_secs_f64() / 500.0 * 1e6;
    println!("connect: {each:.0} µs each");
}

fn to_guest(machine: &Machine, streams: usize) {
    let each = BULK / streams;
    let start = Instant::now();
    parallel(machine, 1004, streams, |mut stream| {
        let chunk = vec![0; 256 * 1024];
        for _ in 0..each / chunk.len() {
            stream.write_all(&chunk).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
        let mut done = String::new();
        stream.read_to_string(&mut done).unwrap();
        assert_eq!(done, "done\n");
    });
    report("host to guest", streams, start);
}

fn to_host(machine: &Machine, streams: usize) {
    let each = BULK / streams;
    let start = Instant::now();
    parallel(machine, 1005, streams, |mut stream| {
        stream.write_all(&(each as u64).to_le_bytes()).unwrap();
        let mut chunk = vec![0; 256 * 1024];
        let mut total = 0;
        loop {
            match stream.read(&mut chunk).unwrap() {
                0 => break,
                count => total += count,
            }
        }
        assert_eq!(total, each);
    });
    report("guest to host", streams, start);
}

fn parallel(machine: &Machine, port: u32, streams: usize, work: impl Fn(UnixStream) + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..streams {
            let stream = machine.connect(port);
            let work = &work;
            scope.spawn(move || work(stream));
        }
    });
}

fn report(what: &str, streams: usize, start: Instant) {
    let rate = (BULK / MIB) as f64 / start.elapsed().as_secs_f64();
    println!("{what}, {streams} streams: {rate:.0} MiB/s");
}
