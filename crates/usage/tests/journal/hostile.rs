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
