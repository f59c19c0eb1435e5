//! A price list's file as it is written, and what is wrong with it, by line.

use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use crate::currency::Currency;
use crate::hardware::Hardware;
use crate::rules::{Clock, Discount, Rate, SizeRule};
use crate::values::{Date, Zone};

/// Most problems that one answer tells.
const MAX_PROBLEMS: usize = 20;

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

/// Collects problems with their lines.
pub(crate) struct Report<'a> {
    text: &'a str,
    file: &'a str,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(text: &'a str, file: &'a str) -> Self {
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

    pub(crate) fn into_error(mut self) -> ListError {
        self.problems.sort_by_key(|problem| problem.line);
        ListError {
            problems: self.problems,
        }
    }
}

#[cfg(test)]
#[path = "schema_test.rs"]
mod schema;
