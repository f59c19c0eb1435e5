//! Price lists: TOML files, read and checked.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use crate::check;
use crate::currency::Currency;
use crate::hardware::Hardware;
use crate::rules::{Clock, Discount, Rate, SizeRule};
use crate::values::{Date, Zone};

/// Largest file, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// Most problems that one answer tells.
const MAX_PROBLEMS: usize = 20;

/// The price lists that come with Skete, by file name.
const SHIPPED: &[(&str, &str)] = &[
    (
        "azure-container-instances.toml",
        include_str!("../../../prices/azure-container-instances.toml"),
    ),
    (
        "cloud-run.toml",
        include_str!("../../../prices/cloud-run.toml"),
    ),
    ("fargate.toml", include_str!("../../../prices/fargate.toml")),
    (
        "gke-autopilot.toml",
        include_str!("../../../prices/gke-autopilot.toml"),
    ),
    (
        "opencost.toml",
        include_str!("../../../prices/opencost.toml"),
    ),
    (
        "own-hardware.toml",
        include_str!("../../../prices/own-hardware.toml"),
    ),
];

/// One thing that is wrong with a price list. Shows itself as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's name.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// The field, where it is one.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A file that is no price list, with what is wrong with it: a line for each problem.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", lines(.problems))]
pub struct ListError {
    /// At least one, in the order of the file.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .take(MAX_PROBLEMS)
        .map(Problem::to_string)
        .collect();
    lines.join("\n")
}

/// What Pods are charged.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceList {
    /// Its name, as commands take it.
    pub name: String,
    /// What it is, in one line.
    pub title: String,
    /// Which edition it is.
    pub version: String,
    /// Where its prices were published.
    pub source: Option<String>,
    /// The currency of its prices.
    pub currency: Currency,
    /// The zone of its dates, days and hours.
    pub zone: Zone,
    /// How time is counted.
    pub clock: Clock,
    /// The size for which a Pod is charged.
    pub size: SizeRule,
    /// Prices by the time in which they hold, in order, without overlaps.
    pub periods: Vec<Period>,
    /// The first that holds is the one that counts.
    pub discounts: Vec<Discount>,
}

/// The time in which prices hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Period {
    /// Its beginning, in nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// Its end, exclusive; `i64::MAX` if none is known.
    pub end_ns: i64,
    /// Of several rates of one meter the first that is for a Pod counts.
    pub rates: Vec<Rate>,
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Price list of Skete"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct File {
    /// The list's name, as commands take it: small letters, digits and hyphens.
    #[cfg_attr(test, schemars(with = "String"))]
    pub(crate) name: Spanned<String>,
    /// What it is, in one line.
    pub(crate) title: String,
    /// Which edition it is. Prices that change are a new edition.
    #[cfg_attr(test, schemars(with = "String"))]
    pub(crate) version: Spanned<String>,
    /// Where its prices were published.
    pub(crate) source: Option<String>,
    /// The currency, by its code of ISO 4217.
    pub(crate) currency: Currency,
    /// The zone of dates, days and hours; UTC where it is not given.
    #[serde(default)]
    pub(crate) time_zone: Zone,
    /// How time is counted.
    #[serde(default)]
    pub(crate) clock: Clock,
    /// The size for which a Pod is charged.
    #[cfg_attr(test, schemars(with = "Option<SizeRule>"))]
    pub(crate) size: Option<Spanned<SizeRule>>,
    /// Prices by the time in which they hold.
    #[cfg_attr(test, schemars(with = "Vec<PeriodTable>"))]
    pub(crate) period: Vec<Spanned<PeriodTable>>,
    /// Less to pay for some Pods at some times.
    #[cfg_attr(test, schemars(with = "Vec<Discount>"))]
    #[serde(default)]
    pub(crate) discount: Vec<Spanned<Discount>>,
}

/// The time in which prices hold.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Period"))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PeriodTable {
    /// Its first day or moment.
    pub(crate) from: Date,
    /// Where it ends, exclusive; not given: where the next begins, or never.
    pub(crate) until: Option<Date>,
    /// The prices.
    #[cfg_attr(test, schemars(with = "Vec<Rate>"))]
    #[serde(default)]
    pub(crate) rate: Vec<Spanned<Rate>>,
    /// One's own machines, which come to a price for vCPUs and one for memory.
    #[cfg_attr(test, schemars(with = "Option<Hardware>"))]
    pub(crate) hardware: Option<Spanned<Hardware>>,
}

impl PriceList {
    /// Reads a price list.
    ///
    /// # Errors
    /// What is wrong with it, by line: the first thing that cannot be read, or everything that does
    /// not fit together.
    pub fn parse(text: &str, file: &str) -> Result<Self, ListError> {
        let mut report = Report::new(text, file);
        if text.len() > MAX_BYTES {
            report.add(0..0, "the file is larger than 1 MiB");
            return Err(report.into_error());
        }
        match toml::from_str::<File>(text) {
            Ok(file) => match check::list(file, &mut report) {
                Some(list) if report.problems.is_empty() => return Ok(list),
                _ => {}
            },
            Err(error) => report.add(error.span().unwrap_or(0..0), error.message()),
        }
        Err(report.into_error())
    }

    /// The price lists that come with Skete, as they are in their files: name and text.
    pub fn shipped() -> impl Iterator<Item = (&'static str, &'static str)> {
        let name = |file: &'static str| file.strip_suffix(".toml").unwrap_or(file);
        SHIPPED.iter().map(move |(file, text)| (name(file), *text))
    }

    /// The list without its rules of rounding: by it a Pod is charged for what it had.
    pub(crate) fn unrounded(&self) -> Self {
        let mut list = Self {
            clock: Clock::default(),
            size: SizeRule {
                basis: self.size.basis,
                ..SizeRule::default()
            },
            ..self.clone()
        };
        let rates = list.periods.iter_mut().flat_map(|period| &mut period.rates);
        rates.for_each(|rate| rate.included = None);
        list
    }

    /// How long after its end a Pod may still be charged for: its time rounded up, or its minimum.
    /// A bill of a window has to see the Pods that ended so long before.
    #[must_use]
    pub fn reach_ns(&self) -> i64 {
        self.clock.minimum.ns.max(self.clock.step.ns)
    }
}

/// Collects problems with their lines.
pub(crate) struct Report<'a> {
    text: &'a str,
    file: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    fn new(text: &'a str, file: &'a str) -> Self {
        Self {
            text,
            file,
            problems: Vec::new(),
        }
    }

    /// Notes a problem with what stands there.
    pub(crate) fn add(&mut self, span: Range<usize>, message: impl Into<String>) {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        // Within a line, what stands before the value is its key.
        let key = before[line_start..].trim_end().strip_suffix('=');
        let field = key.and_then(|key| key.split([' ', '{', ',']).rfind(|word| !word.is_empty()));
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: before.matches('\n').count() + 1,
            field: field.map(str::to_owned),
            message: message.into().replace('\n', "; "),
        });
    }

    fn into_error(mut self) -> ListError {
        self.problems.sort_by_key(|problem| problem.line);
        ListError {
            problems: self.problems,
        }
    }
}

#[cfg(test)]
#[path = "list_test.rs"]
mod tests;

#[cfg(test)]
#[path = "schema_test.rs"]
mod schema;

#[cfg(test)]
#[path = "shipped_test.rs"]
mod shipped;
