//! How fast journals are read. A measurement: `cargo xtask bench usage` runs it.

use std::time::Instant;

use skete_usage::Window;

use crate::simulation::{Life, folded};

#[test]
#[ignore = "a measurement"]
fn a_million_records_are_folded() {
    let dir = tempfile::tempdir().unwrap();
    let lives: Vec<_> = (0..1000).map(|seed| Life::draw(seed, dir.path())).collect();
    let (mut records, mut bytes) = (0, 0);
    let began = Instant::now();
    while records < 1_000_000 {
        for life in &lives {
            folded(&life.bytes, Window::ALL).unwrap();
            records += life.truths.len();
            bytes += life.bytes.len();
        }
    }
    let took = began.elapsed();
    let rate = records as f64 / took.as_secs_f64();
    let mean = bytes / records;
    println!("{rate:.0} records per second, of {mean} bytes in the mean");
}
