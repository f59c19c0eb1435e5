use super::*;

#[test]
fn columns_are_aligned_and_nothing_stands_at_a_lines_end() {
    let mut table = Table::new(&["A", "LONG HEADING", "C"]);
    table.row(vec!["größer".into(), "x".into(), String::new()]);
    table.row(vec!["b".into(), "y".into(), "z".into()]);

    assert_eq!(
        table.render(),
        "A       LONG HEADING  C\ngrößer  x\nb       y             z\n"
    );
}

#[test]
fn headings_can_be_left_out() {
    let mut table = Table::new(&["A"]);
    table.without_headings();
    table.row(vec!["x".into()]);

    assert_eq!(table.render(), "x\n");
}

#[test]
fn times_are_told_as_people_tell_them() {
    let told = |seconds| rough(Duration::from_secs(seconds));
    assert_eq!(told(0), "less than a second");
    assert_eq!(told(1), "1 second");
    assert_eq!(told(59), "59 seconds");
    assert_eq!(told(60), "1 minute");
    assert_eq!(told(3600), "1 hour");
    assert_eq!(told(172_799), "47 hours");
    assert_eq!(told(172_800), "2 days");
}

#[test]
fn sizes_are_told_in_binary_units() {
    assert_eq!(bytes(1023), "1023 B");
    assert_eq!(bytes(1024), "1.0 KiB");
    assert_eq!(bytes(1_048_575), "1.0 MiB");
    assert_eq!(bytes(3 << 30), "3.0 GiB");
}

#[test]
fn a_cut_text_says_that_it_was_cut() {
    assert_eq!(cut("abcdef", 6), "abcdef");
    assert_eq!(cut("abcdefg", 6), "abcde…");
}

#[test]
fn a_reader_that_has_gone_is_nothing_to_tell() {
    let failure = write_failure(std::io::ErrorKind::BrokenPipe.into());
    assert_eq!((failure.code(), failure.message()), (141, None));
    assert!(
        write_failure(std::io::Error::other("full"))
            .message()
            .is_some()
    );
}

#[test]
fn amounts_have_hundredths_while_they_are_small() {
    let told = |value| amount(value, 1000);
    assert_eq!(told(0), "0.00");
    assert_eq!(told(1294), "1.29");
    assert_eq!(told(1295), "1.30");
    assert_eq!(told(99_994), "99.99");
    assert_eq!(told(99_995), "100");
    assert_eq!(told(723_501), "724");
    assert!(amount(u128::MAX, 1).starts_with("34028"));
}

#[test]
fn a_length_of_time_is_told_to_its_size() {
    let seconds = |seconds: u128| duration(seconds * 1_000_000_000);
    assert_eq!(duration(1_294_000_000), "1.29 s");
    assert_eq!(seconds(101), "1 min 41 s");
    assert_eq!(seconds(7384), "2 h 3 min 4 s");
}
