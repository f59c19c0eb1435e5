//! From a price list's text to the list.

use crate::check;
use crate::file::{File, ListError, Report};
use crate::list::PriceList;

/// Largest file, in bytes.
const MAX_BYTES: usize = 1 << 20;

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
}

#[cfg(test)]
#[path = "parse_test.rs"]
mod tests;

#[cfg(test)]
#[path = "shipped_test.rs"]
mod shipped;
