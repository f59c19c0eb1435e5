//! What single fields of a price list hold: each is checked as it is read, so that an error has its
//! line.

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::{self, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use skete_cri_api::Quantity;

use crate::Decimal;

/// A number or a text, as TOML has amounts.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected an amount, as \"0.25\" or \"512Mi\"")]
enum NumberOrText {
    Number(u64),
    Text(String),
}

/// A Kubernetes quantity that is not negative: `0.25`, `512Mi`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NumberOrText")]
pub struct Amount(Quantity);

impl TryFrom<NumberOrText> for Amount {
    type Error = String;

    fn try_from(value: NumberOrText) -> Result<Self, String> {
        let text = match value {
            NumberOrText::Number(number) => return Ok(Self(Quantity::units(number))),
            NumberOrText::Text(text) => text,
        };
        match Quantity::parse(&text) {
            Ok(quantity) if quantity.is_negative() => Err(format!("{text:?} is negative")),
            Ok(quantity) => Ok(Self(quantity)),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Amount {
    /// Thousandths, rounded up.
    #[must_use]
    pub fn thousandths(self) -> u64 {
        u64::try_from(self.0.milli_ceil()).unwrap_or(0)
    }

    /// Whole units, rounded up.
    #[must_use]
    pub fn whole(self) -> u64 {
        u64::try_from(self.0.ceil()).unwrap_or(0)
    }
}

/// A length of time: `1s`, `100ms`, `1h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Length {
    /// In nanoseconds.
    pub ns: i64,
}

impl TryFrom<String> for Length {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = text.parse::<SignedDuration>();
        let ns = parsed.ok().map(|length| length.as_nanos());
        // A day is more than any provider's minimum; it bounds how far a Pod's charge reaches.
        match ns.and_then(|ns| i64::try_from(ns).ok()) {
            Some(ns @ 0..=86_400_000_000_000) => Ok(Self { ns }),
            _ => Err(format!(
                "{text:?} is not a length of time between 0s and 24h, as 1s or 100ms"
            )),
        }
    }
}

/// A percentage, from 0 to 100.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Decimal", into = "Decimal")]
pub struct Percent(Decimal);

impl TryFrom<Decimal> for Percent {
    type Error = String;

    fn try_from(value: Decimal) -> Result<Self, String> {
        if value > Decimal::from(100) {
            return Err(format!("{value} percent is more than 100"));
        }
        Ok(Self(value))
    }
}

impl From<Percent> for Decimal {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Zone(pub TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        TimeZone::get(&name)
            .map(Self)
            .map_err(|_| format!("{name:?} is not a time zone, as UTC or Europe/Paris"))
    }
}

impl Zone {
    /// The moment of a date there, in nanoseconds since the Unix epoch. A time that the clocks skip
    /// counts by the clock before the jump; of one that they show twice, the first counts.
    #[must_use]
    pub fn moment(&self, date: civil::DateTime) -> i64 {
        let moment = self.0.to_ambiguous_zoned(date).compatible();
        let ns = moment.map(|zoned| zoned.timestamp().as_nanosecond());
        ns.ok()
            .and_then(|ns| i64::try_from(ns).ok())
            .unwrap_or(i64::MAX)
    }
}

/// A date, with or without a time of day, in the list's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "toml::value::Datetime")]
pub struct Date(pub civil::DateTime);

impl TryFrom<toml::value::Datetime> for Date {
    type Error = String;

    fn try_from(value: toml::value::Datetime) -> Result<Self, String> {
        let text = value.to_string();
        let date = text.parse::<civil::DateTime>().ok();
        // Nanoseconds since 1970 fit into 64 bits until 2262.
        let date = date.filter(|date| value.date.is_some() && (1970..2262).contains(&date.year()));
        date.map(Self).ok_or_else(|| {
            format!("{text} is not a date between 1970 and 2261 without an offset, as 2026-01-31")
        })
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl From<Day> for civil::Weekday {
    fn from(day: Day) -> Self {
        match day {
            Day::Mon => Self::Monday,
            Day::Tue => Self::Tuesday,
            Day::Wed => Self::Wednesday,
            Day::Thu => Self::Thursday,
            Day::Fri => Self::Friday,
            Day::Sat => Self::Saturday,
            Day::Sun => Self::Sunday,
        }
    }
}

/// A part of the day, as `22:00-06:00`; one that ends before it begins goes on into the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hours {
    /// When it begins.
    pub from: Time,
    /// When it ends, exclusive.
    pub until: Time,
}

impl TryFrom<String> for Hours {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let time = |part: &str| Time::strptime("%H:%M", part).ok();
        text.split_once('-')
            .and_then(|(from, until)| Some((time(from)?, time(until)?)))
            .filter(|(from, until)| from != until)
            .map(|(from, until)| Self { from, until })
            .ok_or_else(|| format!("{text:?} is not a part of a day, as 22:00-06:00"))
    }
}
