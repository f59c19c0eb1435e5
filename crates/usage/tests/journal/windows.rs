//! Windows of a life, and what they add up to.

use skete_usage::{Totals, Window};

use crate::simulation::{Life, Random, folded, totals};

#[test]
fn windows_that_follow_each_other_add_up_to_the_whole_wherever_it_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..1000 {
        let life = Life::draw(seed, dir.path());
        let whole = folded(&life.bytes, Window::ALL).unwrap();
        let (Some(first), Some(last)) = (whole.spans.first(), whole.spans.last()) else {
            continue;
        };
        let mut random = Random(!seed);
        let length = last.end_ns.abs_diff(first.start_ns);
        let around = |random: &mut Random| {
            first.start_ns - (length / 4) as i64 + random.below(length + length / 2 + 2) as i64
        };
        let mut cuts: Vec<i64> = (0..random.below(12)).map(|_| around(&mut random)).collect();
        cuts.extend([i64::MIN, i64::MAX]);
        cuts.sort_unstable();

        let mut sum = Totals::default();
        for cut in cuts.windows(2) {
            let window = Window {
                from_ns: cut[0],
                to_ns: cut[1],
            };
            let part = folded(&life.bytes, window).unwrap();
            let within = |span: &skete_usage::Span| {
                window.from_ns <= span.start_ns && span.end_ns <= window.to_ns
            };
            assert!(part.spans.iter().all(within), "seed {seed}");
            sum.add(&part);
        }
        assert_eq!(sum, totals(&whole), "seed {seed}: {cuts:?}");
    }
}
