//! Bills a month of many Pods: writes their records to a file, and measures from the file to the
//! invoice. `cargo run --release -p skete-billing --example month [PODS]`

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::time::Instant;

use skete_billing::{Invoice, Month, PriceList, Pricing, Tally, Tenant};
use skete_usage::{Controller, Ended, Pod, PodUse, Size, Span, Used};

/// 2026-11-01T00:00:00Z, in nanoseconds.
const NOVEMBER: i64 = 1_793_491_200_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let pods: u64 = match std::env::args().nth(1) {
        Some(count) => count.parse()?,
        None => 1_000_000,
    };
    let path = std::env::temp_dir().join(format!("skete-month.{}.jsonl", std::process::id()));
    let billed = write_records(&path, pods).and_then(|()| bill(&path));
    std::fs::remove_file(&path)?;
    billed
}

fn bill(path: &std::path::Path) -> Result<(), Box<dyn Error>> {
    let shipped = PriceList::shipped().find(|(name, _)| *name == "fargate");
    let (name, text) = shipped.ok_or("no such price list")?;
    let list = PriceList::parse(text, name)?;
    let month: Month = "2026-11".parse()?;
    let started = Instant::now();
    let pricing = Pricing::new(&list, month.window(&list.zone));
    let mut tally = Tally::new(&pricing, Tenant::new("team-a"));
    let mut lines = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let pod_use: PodUse = serde_json::from_slice(&line)?;
        tally.add(&pod_use)?;
        line.clear();
    }
    let invoice = Invoice::new(&tally)?;
    let seconds = started.elapsed().as_secs_f64();
    let (pods, total, workloads) = (invoice.pods, &invoice.total, invoice.workloads.len());
    println!("{pods} Pods of {workloads} workloads: {total} USD, billed in {seconds:.1} s");
    Ok(())
}

fn write_records(path: &std::path::Path, pods: u64) -> Result<(), Box<dyn Error>> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for index in 0..pods {
        serde_json::to_writer(&mut out, &record(index))?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// A Pod of a job, of seconds or of days.
fn record(index: u64) -> PodUse {
    // Spread, and the same in every run.
    let spread = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let start_ns = NOVEMBER.saturating_add_unsigned(spread % (29 * 86_400 * SECOND));
    let length = (spread >> 20) % ((86_400 * SECOND) >> (spread % 16));
    let size = Size {
        milli_vcpus: 250 * (1 + spread % 8),
        memory_bytes: (256 << 20) * (1 + spread % 16),
        ..Size::default()
    };
    let span = Span {
        start_ns,
        end_ns: start_ns.saturating_add_unsigned(length),
        provisioned: size,
        requested: size,
        limits: size,
        used: Used {
            cpu_ns: length / 3,
            memory_byte_ns: u128::from(length) * u128::from(size.memory_bytes) / 2,
            ..Used::default()
        },
    };
    let job = index % 2000;
    PodUse {
        pod: Pod {
            uid: format!("{:08x}-0000-4000-8000-{spread:016x}", index),
            name: format!("job-{job}-{index:x}"),
            namespace: "team-a".to_owned(),
            namespace_uid: Some("6f1c2a54-7d0e-4a7b-9b0e-1f2d3c4b5a69".to_owned()),
            labels: BTreeMap::from([("app".to_owned(), format!("job-{job}"))]),
            controller: Some(Controller {
                kind: "Job".to_owned(),
                name: format!("job-{job}"),
            }),
            node: format!("node-{}", index % 50),
            architecture: if index.is_multiple_of(4) {
                "arm64"
            } else {
                "amd64"
            }
            .to_owned(),
            runtime: "skete".to_owned(),
            annotations: BTreeMap::new(),
        },
        spans: vec![span],
        container_starts: 1,
        image_bytes: 0,
        ended: Ended::Seen,
    }
}
