//! What metering costs, and how fast journals are read: tests that print what they measure.

use super::Rows;
use crate::command::{Failure, cargo, output};

/// What a line that tells a figure has in it.
const UNIT: &str = " per ";

/// The package, the test, and what the test's line is about.
const MEASUREMENTS: &[(&str, &str, &str)] = &[
    (
        "skete-sandbox",
        "a_heartbeat_takes_microseconds",
        "metering",
    ),
    (
        "skete-usage",
        "a_million_records_are_folded",
        "reading journals",
    ),
];

pub(super) fn rows() -> Result<Rows, Failure> {
    let mut rows = Rows::new();
    for (package, test, what) in MEASUREMENTS {
        let mut cargo = cargo(&["test", "--locked", "--release", "-q", "-p", package, test]);
        let said = output(cargo.args(["--", "--include-ignored", "--nocapture"]));
        let said = said.ok_or_else(|| Failure::new(format!("{test} failed")))?;
        // All else that is printed is about tests.
        let measured = said.lines().filter(|line| line.contains(UNIT));
        rows.extend(measured.map(|line| ((*what).to_owned(), line.to_owned())));
    }
    Ok(rows)
}
