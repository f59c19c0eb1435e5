//! Decimal numbers as people write prices: exact, without floating point.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

/// Digits after the point.
pub(crate) const DIGITS: u32 = 12;
/// Units of the last digit in 1.
pub(crate) const ONE: u128 = 10u128.pow(DIGITS);
/// Digits before the point: enough for the price of a data centre in any currency.
const WHOLE_DIGITS: usize = 15;

/// Why a text is no decimal number that is taken here.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecimalError {
    /// The form is wrong.
    #[error("{0:?} is not a decimal number as 0.04048")]
    Form(String),
    /// Prices and amounts are not negative.
    #[error("{0:?} is negative")]
    Negative(String),
    /// Beyond the digits that are kept exactly.
    #[error("{0:?} has more than {WHOLE_DIGITS} digits before or {DIGITS} after the point")]
    Digits(String),
}

/// An exact decimal number, not negative, with at most twelve digits after the point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    /// In units of the last digit.
    units: u128,
}

impl Decimal {
    /// Digits that are kept after the point.
    pub const DIGITS: u32 = DIGITS;

    /// The number in units of 10⁻¹².
    #[must_use]
    pub fn units(self) -> u128 {
        self.units
    }

    /// A number of units of 10⁻¹².
    #[must_use]
    pub fn from_units(units: u128) -> Self {
        Self { units }
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.units == 0
    }
}

impl From<u32> for Decimal {
    fn from(whole: u32) -> Self {
        Self {
            units: u128::from(whole) * ONE,
        }
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        if text.starts_with('-') {
            return Err(DecimalError::Negative(text.to_owned()));
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(DecimalError::Form(text.to_owned()));
        }
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        if whole.len() > WHOLE_DIGITS || fraction.len() > DIGITS as usize {
            return Err(DecimalError::Digits(text.to_owned()));
        }
        let mut units = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            units = units * 10 + u128::from(digit - b'0');
        }
        let missing = DIGITS - u32::try_from(fraction.len()).unwrap_or(DIGITS);
        Ok(Self {
            units: units * 10u128.pow(missing),
        })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.units / ONE)?;
        match self.units % ONE {
            0 => Ok(()),
            fraction => {
                let digits = format!("{fraction:012}");
                write!(f, ".{}", digits.trim_end_matches('0'))
            }
        }
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DecimalVisitor)
    }
}

struct DecimalVisitor;

impl Visitor<'_> for DecimalVisitor {
    type Value = Decimal;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Decimal, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, whole: i64) -> Result<Decimal, E> {
        self.visit_str(&whole.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Decimal, E> {
        Err(E::custom(format!(
            "put {number} in quotes, as \"0.04048\": without them it is not exact"
        )))
    }
}

#[cfg(test)]
#[path = "decimal_test.rs"]
mod tests;
