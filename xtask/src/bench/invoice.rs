//! How long the bill of a month takes.

use super::Rows;
use crate::command::{Failure, cargo, output};

/// A million Pods, from their records in a file to the invoice.
pub(super) fn rows() -> Result<Rows, Failure> {
    let mut month = cargo(&[
        "run",
        "--release",
        "-q",
        "-p",
        "skete-billing",
        "--example",
        "month",
    ]);
    let said = output(&mut month).ok_or_else(|| Failure::new("the bill of a month failed"))?;
    Ok(vec![("bill of a month".to_owned(), said.trim().to_owned())])
}
