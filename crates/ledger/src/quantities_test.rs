use super::*;

/// No two alike.
fn different() -> Quantities {
    Quantities(std::array::from_fn(|index| 1_000 + index as u128))
}

#[test]
fn what_is_kept_and_shown_is_what_was_there() {
    let quantities = different();
    assert_eq!(Quantities::from(&quantities.totals()), quantities);
    let mut blob = quantities.to_blob();
    assert_eq!(Quantities::of_blob(&blob), Some(quantities));
    blob.push(0);
    assert_eq!(Quantities::of_blob(&blob), None);
    assert_eq!(Quantities::of_blob(&blob[..256]), None);
}

#[test]
fn sums_of_any_size_break_nothing() {
    let mut sum = Quantities([u128::MAX; COUNT]);
    sum.add(&different());
    assert_eq!(sum, Quantities([u128::MAX; COUNT]));
    assert_eq!(sum.totals().used.network_sent_bytes, u64::MAX);
}
