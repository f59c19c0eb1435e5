//! Kubernetes' resource quantities: `500m`, `64Mi`, `1.5`, `1e3`.

use thiserror::Error;

/// Why a text is no quantity; the message names a way to write it.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum QuantityError {
    /// The form is wrong.
    #[error("{text:?} is not a quantity{}", .hint.as_deref().map(|h| format!("; {h}")).unwrap_or_default())]
    Form {
        /// What was given.
        text: String,
        /// What was probably meant.
        hint: Option<String>,
    },
    /// Beyond what 64 bits hold.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

/// An exact amount, in billionths, as Kubernetes' API knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Quantity {
    nanos: i128,
}

const NANOS: i128 = 1_000_000_000;
/// Digits that are read; Kubernetes' largest number has 19, and 9 more may follow the point.
const MAX_DIGITS: usize = 30;

impl Quantity {
    /// Reads a quantity by the rules of `resource.Quantity`.
    ///
    /// # Errors
    /// [`QuantityError`], with a hint where the unit is a common slip as `64Mo` or `1GB`.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let form = || QuantityError::Form {
            text: text.to_owned(),
            hint: hint(text),
        };
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let split = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(split);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(form());
        }
        let too_large = || QuantityError::TooLarge(text.to_owned());
        let whole = whole.trim_start_matches('0');
        if whole.len() + fraction.len() > MAX_DIGITS {
            return Err(too_large());
        }
        let mut digits: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            digits = digits * 10 + i128::from(digit - b'0');
        }
        let (base, exponent) = scale(suffix).ok_or_else(form)?;
        let power = exponent.unsigned_abs();
        let factor = i128::from(base).checked_pow(power).ok_or_else(too_large)?;
        let point = 10i128.pow(u32::try_from(fraction.len()).map_err(|_| too_large())?);
        // Value = digits / point * factor^±1, rounded up to a billionth as Kubernetes does.
        let (numerator, denominator) = if exponent >= 0 {
            (digits.checked_mul(factor), Some(point))
        } else {
            (Some(digits), point.checked_mul(factor))
        };
        let nanos = numerator
            .and_then(|n| n.checked_mul(NANOS))
            .zip(denominator)
            .map(|(n, d)| n / d + i128::from(n % d != 0))
            .filter(|nanos| nanos / NANOS <= i128::from(i64::MAX))
            .ok_or_else(too_large)?;
        let nanos = if text.starts_with('-') { -nanos } else { nanos };
        Ok(Self { nanos })
    }

    /// So many whole units.
    #[must_use]
    pub fn units(units: u64) -> Self {
        Self {
            nanos: i128::from(units) * NANOS,
        }
    }

    /// Whole units, rounded up: bytes of a memory quantity.
    #[must_use]
    pub fn ceil(self) -> i64 {
        clamp(div_ceil(self.nanos, NANOS))
    }

    /// Thousandths, rounded up: millicores of a CPU quantity.
    #[must_use]
    pub fn milli_ceil(self) -> i64 {
        clamp(div_ceil(self.nanos, NANOS / 1000))
    }

    /// Divided by `divisor` and rounded up, as `resourceFieldRef` does; 0 if the divisor is 0.
    #[must_use]
    pub fn div_ceil(self, divisor: Self) -> i64 {
        if divisor.nanos == 0 {
            return 0;
        }
        clamp(div_ceil(self.nanos, divisor.nanos))
    }

    /// Whether it is a whole number of units.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.nanos % NANOS == 0
    }

    /// Whether it is a whole number of thousandths.
    #[must_use]
    pub fn is_whole_milli(self) -> bool {
        self.nanos % (NANOS / 1000) == 0
    }

    /// Whether it is below zero.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }
}

impl std::ops::Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            nanos: self.nanos + other.nanos,
        }
    }
}

impl std::iter::Sum for Quantity {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::default(), |a, b| a + b)
    }
}

fn div_ceil(n: i128, d: i128) -> i128 {
    n.div_euclid(d) + i128::from(n.rem_euclid(d) != 0)
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// Base and exponent of a suffix.
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (10, 0),
        "n" => (10, -9),
        "u" => (10, -6),
        "m" => (10, -3),
        "k" => (10, 3),
        "M" => (10, 6),
        "G" => (10, 9),
        "T" => (10, 12),
        "P" => (10, 15),
        "E" => (10, 18),
        "Ki" => (2, 10),
        "Mi" => (2, 20),
        "Gi" => (2, 30),
        "Ti" => (2, 40),
        "Pi" => (2, 50),
        "Ei" => (2, 60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || digits.len() > 3 || !digits.bytes().all(|b| b.is_ascii_digit())
            {
                return None;
            }
            (10, exponent.parse().ok()?)
        }
    })
}

/// What was probably meant by a wrong unit.
fn hint(text: &str) -> Option<String> {
    let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let split = squeezed.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = squeezed.split_at(split);
    number.parse::<f64>().ok()?;
    let lower = unit.to_ascii_lowercase();
    let letter = match lower.trim_end_matches("ytes").trim_end_matches("yte") {
        "k" | "kb" | "ko" | "kib" | "kio" | "ki" => 'K',
        "mb" | "mo" | "mib" | "mio" | "mi" => 'M',
        "g" | "gb" | "go" | "gib" | "gio" | "gi" => 'G',
        "t" | "tb" | "to" | "tib" | "tio" | "ti" => 'T',
        "b" | "o" => return Some(format!("write {number}")),
        _ if squeezed.len() != text.len() && scale(unit).is_some() => {
            return Some(format!("write {squeezed}"));
        }
        _ => return None,
    };
    let decimal = if letter == 'K' { 'k' } else { letter };
    Some(format!("write {number}{letter}i or {number}{decimal}"))
}

#[cfg(test)]
#[path = "quantity_test.rs"]
mod tests;
