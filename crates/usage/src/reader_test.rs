use super::*;
use crate::record::tests::{opening, summed};
use crate::record::{Counters, EndReason};

/// The lines of a journal in which each record is a second later.
fn lines(events: Vec<Event>) -> Vec<String> {
    let open = Event::Open(Box::new(opening()));
    let records = std::iter::once(open).chain(events).enumerate();
    let mut lines = vec![format!("{MAGIC}{VERSION}\n")];
    lines.extend(records.map(|(index, event)| {
        let record = Record {
            sequence: index as u32,
            at: Moment {
                monotonic_ns: (index as u64 + 1) * 1_000_000_000,
                wall_ns: 0,
            },
            event,
        };
        record.to_line().unwrap()
    }));
    lines
}

fn life() -> Vec<String> {
    let host = || Event::Host(Counters::default());
    lines(vec![
        Event::Ready,
        host(),
        host(),
        Event::End(EndReason::Stopped),
    ])
}

fn read(text: impl AsRef<[u8]>) -> Result<(Vec<Record>, u64), JournalError> {
    let mut reader = Reader::new(text.as_ref())?;
    let records = (&mut reader).collect::<Result<_, _>>()?;
    Ok((records, reader.torn_bytes()))
}

#[test]
fn a_whole_journal_is_read_to_its_end() {
    let (records, torn) = read(life().concat()).unwrap();
    assert_eq!((records.len(), torn), (4, 0));
    assert_eq!(records[3].event, Event::End(EndReason::Stopped));
}

#[test]
fn a_journal_cut_anywhere_has_the_records_that_are_whole() {
    let lines = life();
    let text = lines.concat();
    let beginning = lines[0].len() + lines[1].len();
    for cut in 0..=text.len() {
        match read(&text[..cut]) {
            Err(JournalError::Empty) => assert!(cut < beginning, "{cut}"),
            Ok((records, torn)) => {
                let whole = text[beginning..cut].matches('\n').count();
                assert_eq!(records.len(), whole, "{cut}");
                let last = text[..cut].rfind('\n').unwrap() + 1;
                assert_eq!(torn, (cut - last) as u64, "{cut}");
            }
            Err(error) => panic!("{cut}: {error}"),
        }
    }
}

#[test]
fn what_power_loss_leaves_at_the_end_is_cut_off() {
    let whole = life()[..4].concat();
    for rubbish in [
        &[0; 4096][..],
        b"\n\n",
        b"\xff\nabc\n",
        b"deadbeef 4 1 1 ready\n",
    ] {
        let text = [whole.as_bytes(), rubbish].concat();
        let (records, torn) = read(text).unwrap();
        assert_eq!((records.len(), torn), (2, rubbish.len() as u64));
    }
}

#[test]
fn damage_before_the_last_record_is_told_with_its_line() {
    let good = life();
    for line in 1..good.len() - 1 {
        let mut lines = good.clone();
        lines[line] = lines[line].replacen(' ', "_", 1);
        match read(lines.concat()) {
            Err(JournalError::Damaged { line: told }) => assert_eq!(told, line as u64 + 1),
            other => panic!("line {line}: {other:?}"),
        }
    }
}

#[test]
fn a_flipped_bit_never_adds_a_record_or_changes_one() {
    let text = life().concat().into_bytes();
    let (right, _) = read(&text).unwrap();
    for bit in 0..text.len() * 8 {
        let mut changed = text.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok((records, _)) = read(&changed) {
            assert_eq!(records, right[..records.len()], "bit {bit}");
            // The last, or the last two if it was the end of the line between them.
            assert!(records.len() + 2 >= right.len(), "bit {bit}");
        }
    }
}

#[test]
fn records_that_are_missing_or_there_twice_are_told() {
    let mut missing = life();
    missing.remove(3);
    let told = read(missing.concat()).unwrap_err().to_string();
    assert_eq!(told, "line 4 is record 3, and record 2 comes there");

    let mut twice = life();
    twice.insert(3, twice[3].clone());
    let told = read(twice.concat()).unwrap_err().to_string();
    assert_eq!(told, "line 5 is record 2, and record 3 comes there");
}

#[test]
fn what_is_no_journal_of_this_version_is_told() {
    let newer = life().concat().replacen(" 1\n", " 2\n", 1);
    assert!(matches!(read(newer), Err(JournalError::Newer(2))));
    for text in [
        "hello\n",
        "skete-usage x\n",
        "skete-usage 0\n",
        "hello",
        "\n",
    ] {
        assert!(
            matches!(read(text), Err(JournalError::NotAJournal)),
            "{text}"
        );
    }
    for text in ["", "skete-us", "skete-usage 1\n"] {
        assert!(matches!(read(text), Err(JournalError::Empty)), "{text}");
    }
}

#[test]
fn records_out_of_place_are_told() {
    let line = |text: &str| format!("{}\n", summed(text));
    let good = life();
    let open = serde_json::to_string(&opening()).unwrap();
    let after = |count: usize, text: &str| [good[..count].concat(), line(text)].concat();
    let cases = [
        (after(6, "5 9000000000 0 ready"), "has ended"),
        (
            after(3, &format!("2 9000000000 0 open {open}")),
            "has begun",
        ),
        (after(3, "2 1000000000 0 ready"), "earlier"),
        (after(1, "0 1 0 ready"), "first record"),
        (after(1, &format!("3 1 0 open {open}")), "record 3"),
        (
            after(
                1,
                &format!("0 1 0 open {}", open.replacen('{', "{\"sinceNs\":2,", 1)),
            ),
            "begins before",
        ),
        (after(3, "2 9000000000 0 dance"), "unknown kind"),
    ];
    for (text, word) in cases {
        let told = read(text).unwrap_err().to_string();
        assert!(told.contains(word), "no {word:?} in {told}");
    }
}

#[test]
fn a_line_without_end_takes_no_memory() {
    let text = [life()[..3].concat(), "x".repeat(3 * MAX_LINE)].concat();
    let mut reader = Reader::new(text.as_bytes()).unwrap();
    assert_eq!((&mut reader).count(), 1);
    assert_eq!(reader.torn_bytes(), 3 * MAX_LINE as u64);
    assert!(reader.lines.line.capacity() <= 2 * MAX_LINE);
}
