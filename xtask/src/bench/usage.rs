//! What metering costs, and how fast journals are read and kept: tests that print what they measure.

use super::Rows;
use crate::command::{Failure, cargo, output};

/// What a line that tells a figure has in it.
const UNIT: &str = " per ";

/// The package, the test, and what the test's lines are about.
type Measurement = (&'static str, &'static str, &'static str);

const LEDGER: &[Measurement] = &[
    (
        "skete-ledger",
        "half_a_million_records_are_taken_in",
        "the ledger",
    ),
    (
        "skete-ledger",
        "a_month_of_a_hundred_thousand_pods_is_told_by_namespace",
        "a month's use by Namespace",
    ),
];

const USAGE: &[Measurement] = &[
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
    measured(USAGE)
}

pub(super) fn ledger_rows() -> Result<Rows, Failure> {
    measured(LEDGER)
}

fn measured(measurements: &[Measurement]) -> Result<Rows, Failure> {
    let mut rows = Rows::new();
    for (package, test, what) in measurements {
        let mut cargo = cargo(&["test", "--locked", "--release", "-q", "-p", package, test]);
        let said = output(cargo.args(["--", "--include-ignored", "--nocapture"]));
        let said = said.ok_or_else(|| Failure::new(format!("{test} failed")))?;
        // All else that is printed is about tests.
        let measured = said.lines().filter(|line| line.contains(UNIT));
        rows.extend(measured.map(|line| ((*what).to_owned(), line.to_owned())));
    }
    Ok(rows)
}
