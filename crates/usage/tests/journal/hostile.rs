//! Journals that nobody wrote.

use skete_usage::{PodUse, Window};

use crate::simulation::{Life, Random, folded, totals};

fn broken(life: &Life, random: &mut Random) -> Vec<u8> {
    let mut bytes = life.bytes.clone();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() as u64) as usize;
        let to = at + random.below((bytes.len() - at) as u64) as usize;
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.drain(at..to)),
            2 => bytes.truncate(at.max(1)),
            3 => bytes[at..to].fill(0),
            4 => {
                let copy = bytes[at..to].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                // Whole lines in another order.
                let mut lines: Vec<_> = bytes.split_inclusive(|b| *b == b'\n').collect();
                let (one, other) = (
                    random.below(lines.len() as u64),
                    random.below(lines.len() as u64),
                );
                lines.swap(one as usize, other as usize);
                bytes = lines.concat();
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[test]
fn a_journal_that_was_changed_is_refused_or_is_a_beginning_of_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let (mut refused, mut taken) = (0, 0);
    for seed in 0..3000 {
        let life = Life::draw(seed, dir.path());
        let bytes = broken(&life, &mut Random(!seed));
        let Ok(used) = folded(&bytes, Window::ALL) else {
            refused += 1;
            continue;
        };
        let time = totals(&used).time_ns;
        let is_true = life.truths.iter().any(|truth| {
            u128::from(truth.time_ns) == time && truth.provisioned == totals(&used).provisioned
        });
        assert!(is_true, "seed {seed}");
        taken += 1;
    }
    assert!(refused > 100 && taken > 100, "{refused} {taken}");
}

#[test]
fn rubbish_is_refused_and_nothing_panics() {
    let mut random = Random(1);
    let header = b"skete-usage 1\n";
    for _ in 0..20_000 {
        let length = random.below(300);
        let rubbish: Vec<u8> = (0..length).map(|_| random.below(256) as u8).collect();
        let text = [&header[..], &rubbish].concat();
        assert!(refused(&rubbish) && refused(&text));
    }
}

fn refused(bytes: &[u8]) -> bool {
    let folded: Result<PodUse, _> = folded(bytes, Window::ALL);
    folded.is_err()
}

/// Numbers at which something could break.
fn number(random: &mut Random) -> u64 {
    let edges = [0, 1, 1 << 62, (1 << 62) + 1, i64::MAX as u64, u64::MAX];
    match random.below(3) {
        0 => edges[random.below(edges.len() as u64) as usize],
        1 => random.below(1 << 20),
        _ => random.below(u64::MAX) >> random.below(64),
    }
}

/// A line whose checksum is right, whatever it says.
fn line(random: &mut Random, sequence: u64, monotonic: u64) -> String {
    const KINDS: [&str; 14] = [
        "open",
        "image",
        "ready",
        "provisioned",
        "requested",
        "limits",
        "start",
        "exit",
        "pause",
        "resume",
        "host",
        "guest",
        "end",
        "other",
    ];
    let kind = KINDS[random.below(KINDS.len() as u64) as usize];
    let fields = match kind {
        "ready" => 0,
        "image" | "start" | "pause" | "resume" => 1,
        "exit" => 2,
        "guest" => 3,
        "host" => 6,
        _ => 4,
    };
    let mut text = format!("{sequence} {monotonic} {} {kind}", number(random) >> 1);
    for _ in 0..fields {
        text.push_str(&format!(" {}", number(random)));
    }
    format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes()))
}

#[test]
fn what_no_engine_writes_with_the_right_checksum_breaks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let lives: Vec<_> = (0..50).map(|seed| Life::draw(seed, dir.path())).collect();
    let (mut taken, mut random) = (0, Random(2));
    for life in lives.iter().cycle().take(10_000) {
        let mut bytes = life.bytes[..life.truths[0].length as usize].to_vec();
        let mut monotonic = 1 << 51;
        for sequence in 1..=random.below(6) {
            monotonic = match random.below(8) {
                0 => number(&mut random).max(monotonic),
                _ => monotonic.saturating_add(random.below(1 << 40)),
            };
            bytes.extend(line(&mut random, sequence, monotonic).into_bytes());
        }
        let (one, other) = (number(&mut random) as i64, number(&mut random) as i64);
        let window = Window {
            from_ns: one.min(other),
            to_ns: one.max(other),
        };
        for window in [Window::ALL, window] {
            if let Ok(used) = folded(&bytes, window) {
                let follow = |pair: &[skete_usage::Span]| pair[0].end_ns <= pair[1].start_ns;
                assert!(used.spans.windows(2).all(follow), "{used:?}");
                let _ = totals(&used);
                taken += 1;
            }
        }
    }
    assert!(taken > 1000, "{taken}");
}
