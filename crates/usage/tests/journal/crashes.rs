//! `kill -9` at any byte. `SKETE_TEST_CRASHES` says how often, `SKETE_TEST_SEED` where to begin.

use skete_usage::{Ended, JournalError, Window};

use crate::simulation::{HEARTBEAT, Life, Random, assert_true, folded};

/// A number from the environment.
pub(crate) fn number(variable: &str, or: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap(),
        Err(_) => or,
    }
}

#[test]
fn after_ten_thousand_kills_every_bill_is_the_oracles() {
    let dir = tempfile::tempdir().unwrap();
    let seed = number("SKETE_TEST_SEED", 0);
    let (mut seen, mut bounded, mut empty) = (0, 0, 0);
    for turn in seed..seed + number("SKETE_TEST_CRASHES", 10_000) {
        let told = format!("SKETE_TEST_SEED={turn} SKETE_TEST_CRASHES=1");
        let life = Life::draw(turn, dir.path());
        let whole = life.bytes.len() as u64;
        let killed = Random(!turn).below(whole + whole / 4).min(whole);
        let known = life.truths.iter().rposition(|truth| truth.length <= killed);

        let folded = folded(&life.bytes[..killed as usize], Window::ALL);
        let Some(known) = known else {
            assert!(matches!(folded, Err(JournalError::Empty)), "{told}");
            empty += 1;
            continue;
        };
        let used = folded.unwrap_or_else(|error| panic!("{told}: {error}"));
        assert_true(&used, &life.truths[known], life.start_ns, &told);
        // The kill came before the next record was whole: no more than that is lost.
        if let Some(next) = life.truths.get(known + 1) {
            let lost = next.time_ns - life.truths[known].time_ns - next.asleep_ns;
            assert!(lost <= HEARTBEAT, "{told}: {lost}");
        }
        match used.ended {
            Ended::Seen => seen += 1,
            _ => bounded += 1,
        }
    }
    println!("{seen} ends seen, {bounded} bounded, {empty} Pods never began");
}

#[test]
fn a_journal_cut_at_any_byte_is_never_more_than_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..20 {
        let life = Life::draw(seed, dir.path());
        for cut in 0..=life.bytes.len() {
            let known = life.truths.iter().rfind(|t| t.length <= cut as u64);
            match (folded(&life.bytes[..cut], Window::ALL), known) {
                (Ok(used), Some(truth)) => {
                    assert_true(&used, truth, life.start_ns, &format!("{seed} {cut}"));
                }
                (Err(JournalError::Empty), None) => {}
                (other, _) => panic!("seed {seed}, cut at {cut}: {other:?}"),
            }
        }
    }
}
