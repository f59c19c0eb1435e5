use super::*;

#[test]
fn numbers_are_octal_with_blanks_around() {
    assert_eq!(number(b"0000644\0", "x"), Ok(0o644));
    assert_eq!(number(b"   644 \0", "x"), Ok(0o644));
    assert_eq!(number(b"77777777777\0", "x"), Ok(0o77_777_777_777));
    assert_eq!(number(b"\0\0\0\0", "x"), Ok(0));
    assert_eq!(number(b"        ", "x"), Ok(0));
}

#[test]
fn numbers_may_be_base_256_and_negative() {
    assert_eq!(
        number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0], "x"),
        Ok(2 << 32)
    );
    assert_eq!(number(&[0xff; 12], "x"), Ok(-1));
    assert_eq!(
        number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0], "x"),
        Ok(-256)
    );
    assert_eq!(
        number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xff], "x"),
        Ok(-257)
    );
}

#[test]
fn numbers_that_are_none_or_too_large_are_refused() {
    assert_eq!(number(b"000089\0\0", "x"), Err(TarError::Number("x")));
    assert_eq!(number(b"12 34\0\0\0", "x"), Err(TarError::Number("x")));
    assert_eq!(number(b"-1\0\0\0\0\0\0", "x"), Err(TarError::Number("x")));
    let huge = [0xbf, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255];
    assert_eq!(number(&huge, "x"), Err(TarError::Number("x")));
    assert_eq!(unsigned(&[0xff; 12], "x"), Err(TarError::Number("x")));
}

#[test]
fn a_header_with_a_wrong_checksum_is_refused() {
    let mut block = [0; RECORD];
    block[..4].copy_from_slice(b"name");
    block[148..156].copy_from_slice(b"0000000\0");
    assert!(matches!(Header::parse(&block), Err(TarError::Checksum)));
}
