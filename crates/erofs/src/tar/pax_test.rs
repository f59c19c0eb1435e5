use super::*;

fn parse(records: &[u8]) -> Result<Pax, TarError> {
    Pax::parse(records, 8)
}

#[test]
fn records_are_taken_by_their_length_not_by_their_lines() {
    let pax = parse(b"16 path=a\nb\nc\nd\n12 uid=1234\n").unwrap();
    assert_eq!(pax.path.as_deref(), Some(&b"a\nb\nc\nd"[..]));
    assert_eq!(pax.uid, Some(1234));
}

#[test]
fn malformed_records_are_refused() {
    for bad in [
        &b"12 path=abc"[..],
        b"9 path=abc\n",
        b"x path=abc\n",
        b"999999999999999999999 path=a\n",
        b"10 pathabc\n",
        b"3 \n",
        b"0 path=a\n",
    ] {
        assert!(matches!(parse(bad), Err(TarError::Pax)), "{bad:?}");
    }
}

#[test]
fn an_empty_value_takes_an_earlier_one_back() {
    assert_eq!(parse(b"10 path=a\n8 path=\n").unwrap().path, None);
    assert_eq!(
        parse(b"8 path=\n10 path=a\n").unwrap().path.as_deref(),
        Some(&b"a"[..])
    );
}

#[test]
fn times_have_nanoseconds_and_may_lie_before_1970() {
    assert_eq!(
        time(b"1700000000.123456789"),
        Some((1_700_000_000, 123_456_789))
    );
    assert_eq!(
        time(b"1700000000.1234567899"),
        Some((1_700_000_000, 123_456_789))
    );
    assert_eq!(time(b"12"), Some((12, 0)));
    assert_eq!(time(b"12.5"), Some((12, 500_000_000)));
    assert_eq!(time(b"-1.25"), Some((-2, 750_000_000)));
    assert_eq!(time(b"-1"), Some((-1, 0)));
    assert_eq!(time(b"1e3"), None);
    assert_eq!(time(b"--1"), None);
    assert_eq!(time(b"99999999999999999999"), None);
}

#[test]
fn a_sparse_map_takes_turns_and_is_bounded() {
    let map = parse(b"22 GNU.sparse.offset=0\n24 GNU.sparse.numbytes=5\n");
    assert!(map.is_err(), "the lengths are off by one");
    let map = parse(b"23 GNU.sparse.offset=0\n25 GNU.sparse.numbytes=5\n").unwrap();
    assert_eq!(map.sparse.map, Some(vec![0, 5]));
    assert!(parse(b"25 GNU.sparse.numbytes=5\n").is_err());
    assert_eq!(
        parse(b"26 GNU.sparse.map=0,5,9,1\n").unwrap().sparse.map,
        Some(vec![0, 5, 9, 1])
    );
    assert!(parse(b"22 GNU.sparse.map=0,5\n23 GNU.sparse.map=0,5,\n").is_err());
    assert!(parse(b"38 GNU.sparse.map=0,1,2,1,4,1,6,1,8,1\n").is_err());
}
