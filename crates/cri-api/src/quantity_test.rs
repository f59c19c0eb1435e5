use super::*;

fn parse(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn quantities_are_exact() {
    let table = [
        ("0", 0, 0),
        ("1", 1, 1000),
        ("500m", 1, 500),
        ("1.5", 2, 1500),
        (".5", 1, 500),
        ("5.", 5, 5000),
        ("64Mi", 64 << 20, (64 << 20) * 1000),
        ("64M", 64_000_000, 64_000_000_000),
        ("1.5Gi", 3 << 29, (3 << 29) * 1000),
        ("1e3", 1000, 1_000_000),
        ("1E3", 1000, 1_000_000),
        ("12e-1", 2, 1200),
        ("1n", 1, 1),
        ("+3", 3, 3000),
        ("-2", -2, -2000),
        ("0.1Ki", 103, 102_400),
    ];
    for (text, units, milli) in table {
        assert_eq!(parse(text).ceil(), units, "{text}");
        assert_eq!(parse(text).milli_ceil(), milli, "{text}");
    }
    assert_eq!(parse("1E").ceil(), 1_000_000_000_000_000_000);
    assert_eq!(parse("7Ei").ceil(), 7 << 60);
}

#[test]
fn what_is_no_quantity_is_refused_with_a_hint() {
    let table = [
        ("64Mo", "\"64Mo\" is not a quantity; write 64Mi or 64M"),
        ("1GB", "\"1GB\" is not a quantity; write 1Gi or 1G"),
        ("512kb", "\"512kb\" is not a quantity; write 512Ki or 512k"),
        ("2 Gi", "\"2 Gi\" is not a quantity; write 2Gi or 2G"),
        ("1g", "\"1g\" is not a quantity; write 1Gi or 1G"),
        ("5 m", "\"5 m\" is not a quantity; write 5m"),
        ("100B", "\"100B\" is not a quantity; write 100"),
        ("100bytes", "\"100bytes\" is not a quantity; write 100"),
        ("", "\"\" is not a quantity"),
        ("abc", "\"abc\" is not a quantity"),
        ("1.2.3", "\"1.2.3\" is not a quantity"),
        ("1e", "\"1e\" is not a quantity"),
        ("1e+", "\"1e+\" is not a quantity"),
        ("--1", "\"--1\" is not a quantity"),
        ("8Ei", "\"8Ei\" is too large"),
        ("1e99", "\"1e99\" is too large"),
        ("1e999", "\"1e999\" is too large"),
    ];
    for (text, message) in table {
        assert_eq!(Quantity::parse(text).unwrap_err().to_string(), message);
    }
    let digits = "9".repeat(1000);
    assert!(Quantity::parse(&digits).is_err());
}

#[test]
fn a_resource_field_is_divided_and_rounded_up() {
    assert_eq!(parse("300m").div_ceil(parse("1")), 1);
    assert_eq!(parse("300m").div_ceil(parse("1m")), 300);
    assert_eq!(parse("64Mi").div_ceil(parse("1Mi")), 64);
    assert_eq!(parse("65Mi").div_ceil(parse("1Gi")), 1);
    assert_eq!(parse("1").div_ceil(parse("0")), 0);
}
