//! What every Pod was given and used, kept for ever.
//!
//! A [`Ledger`] takes in the journals of `skete-usage`, each record once however often and in
//! whatever order it comes, and whoever is killed meanwhile. From the records it makes sums by the
//! hour, of each sandbox and each Namespace, which can be checked against them. An hour that is over
//! is closed: its hash covers its records and the hash of the hour before, so that a bill can be
//! proved unchanged.
//!
//! Rules and tables are described in `docs/src/reference/ledger.md`.
#![forbid(unsafe_code)]

mod chain;
mod database;
mod error;
mod ingest;
mod journals;
#[cfg(test)]
#[path = "kills_test.rs"]
mod kills_tests;
mod quantities;
mod query;
#[cfg(test)]
#[path = "speed_test.rs"]
mod speed_tests;
mod sums;
#[cfg(test)]
mod testing;
mod verify;

use std::ops::Range;

use jiff::Timestamp;

pub use chain::Hash;
pub use database::Ledger;
pub use error::{LedgerError, Problem};
pub use ingest::{Ingested, Refusal, Refused};
pub use quantities::Quantities;
pub use query::{By, HourRow, NamespaceUse, PodUses, SandboxKey, Status};
pub use verify::{Finding, Verified};

/// Every hour that there is.
pub const ALL_HOURS: Range<i64> = i64::MIN..i64::MAX;

/// When an hour begins that is counted from the Unix epoch, as in RFC 3339.
#[must_use]
pub fn hour_begins(hour: i64) -> String {
    match Timestamp::from_second(hour.saturating_mul(3600)) {
        Ok(time) => time.to_string(),
        // Of a clock that lies: jiff's end with the year 9999.
        Err(_) => format!("hour {hour}"),
    }
}
