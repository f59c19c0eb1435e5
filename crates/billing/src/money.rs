//! Amounts of money: exact fractions until they are shown, and then rounded once.

use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

/// An exact amount of money in a price list's currency.
pub type Money = BigRational;

/// The value with so many digits after the point, half away from zero, in units of the last digit.
#[must_use]
pub fn rounded(value: &BigRational, digits: u32) -> BigInt {
    let scaled = value * BigInt::from(10u32).pow(digits);
    // `round` rounds half away from zero.
    scaled.round().to_integer()
}

/// Rounds amounts so that they sum to their rounded sum: each is rounded down, and what is then
/// missing goes, one unit each, to those that lost most, the earlier first. In units of the last
/// digit.
#[must_use]
pub fn apportion(parts: &[BigRational], digits: u32) -> Vec<BigInt> {
    let scale = BigInt::from(10u32).pow(digits);
    let total = rounded(&parts.iter().sum(), digits);
    let mut shares = Vec::with_capacity(parts.len());
    let mut lost = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let scaled = part * &scale;
        let share = scaled.floor().to_integer();
        lost.push((scaled - &share, index));
        shares.push(share);
    }
    let missing = total - shares.iter().sum::<BigInt>();
    lost.sort_by(|(a, i), (b, j)| b.cmp(a).then(i.cmp(j)));
    // At most one for each part: what rounding down loses of a part is less than one.
    let missing = usize::try_from(missing).unwrap_or(0);
    for (_, index) in lost.into_iter().take(missing) {
        shares[index] += 1;
    }
    shares
}

/// Units of the last digit as a decimal number, all digits shown.
#[must_use]
pub fn decimal(units: &BigInt, digits: u32) -> String {
    let sign = if units.is_negative() { "-" } else { "" };
    let (whole, fraction) = units.abs().div_rem(&BigInt::from(10u32).pow(digits));
    if digits == 0 {
        return format!("{sign}{whole}");
    }
    let width = digits as usize;
    format!("{sign}{whole}.{:0>width$}", fraction.to_string())
}

/// A value rounded to so many digits, without zeros at its end.
#[must_use]
pub fn short(value: &BigRational, digits: u32) -> String {
    let text = decimal(&rounded(value, digits), digits);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A value with `digits` after the point, and more where that would show fewer than four
/// significant ones, up to `most`: what a second costs is not 0.00.
#[must_use]
pub fn significant(value: &BigRational, digits: u32, most: u32) -> String {
    let mut shown = digits;
    let enough = BigRational::from_integer(BigInt::from(1000u32));
    let mut scaled = value.abs() * BigInt::from(10u32).pow(digits);
    while !value.is_zero() && scaled < enough && shown < most {
        scaled *= BigInt::from(10u32);
        shown += 1;
    }
    decimal(&rounded(value, shown), shown)
}

#[cfg(test)]
#[path = "money_test.rs"]
mod tests;
