use super::*;

fn parse(text: &str) -> Result<Decimal, DecimalError> {
    text.parse()
}

#[test]
fn what_is_read_is_shown_again_without_needless_zeros() {
    for (text, shown) in [
        ("0", "0"),
        ("007", "7"),
        ("0.04048", "0.04048"),
        ("1.50", "1.5"),
        ("0.000000000001", "0.000000000001"),
        (
            "999999999999999.999999999999",
            "999999999999999.999999999999",
        ),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), shown);
    }
}

#[test]
fn what_is_no_plain_number_is_refused() {
    for text in [
        "", ".", "1.", ".5", "1,5", "1e3", "+1", "0x10", "1 ", "NaN", "٣",
    ] {
        assert_eq!(parse(text), Err(DecimalError::Form(text.into())), "{text}");
    }
    assert_eq!(parse("-1"), Err(DecimalError::Negative("-1".into())));
    for text in ["0.0000000000001", "1000000000000000"] {
        assert_eq!(parse(text), Err(DecimalError::Digits(text.into())));
    }
}
