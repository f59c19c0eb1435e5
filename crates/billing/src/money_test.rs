use super::*;

fn ratio(numerator: i64, denominator: i64) -> BigRational {
    BigRational::new(numerator.into(), denominator.into())
}

#[test]
fn halves_are_rounded_away_from_zero() {
    for (value, shown) in [
        (ratio(5, 1000), "0.01"),
        (ratio(4999, 1_000_000), "0.00"),
        (ratio(-5, 1000), "-0.01"),
        (ratio(2, 3), "0.67"),
        (ratio(12345, 1), "12345.00"),
    ] {
        assert_eq!(decimal(&rounded(&value, 2), 2), shown);
    }
    assert_eq!(decimal(&rounded(&ratio(3, 2), 0), 0), "2");
}

#[test]
fn rounded_parts_sum_to_the_rounded_sum() {
    // Three thirds of a cent are one cent, and the first line has it.
    let thirds = vec![ratio(1, 300); 3];
    assert_eq!(apportion(&thirds, 2), [1.into(), 0.into(), 0.into()]);
    // Who lost most comes first.
    let parts = [ratio(101, 10_000), ratio(199, 10_000), ratio(150, 10_000)];
    assert_eq!(apportion(&parts, 2), [1.into(), 2.into(), 2.into()]);
    assert!(apportion(&[], 2).is_empty());
}

#[test]
fn small_amounts_keep_four_digits_that_say_something() {
    assert_eq!(
        significant(&ratio(342_847, 100_000_000_000), 2, 12),
        "0.000003428"
    );
    assert_eq!(significant(&ratio(123_456, 100), 2, 12), "1234.56");
    assert_eq!(significant(&ratio(0, 1), 2, 12), "0.00");
    assert_eq!(short(&ratio(5, 2), 6), "2.5");
    assert_eq!(short(&ratio(20, 1), 6), "20");
    assert_eq!(short(&ratio(20, 1), 0), "20");
}
