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
mod sums;
#[cfg(test)]
mod testing;
mod verify;

pub use chain::Hash;
pub use database::Ledger;
pub use error::{LedgerError, Problem};
pub use ingest::{Ingested, Refusal, Refused};
pub use quantities::Quantities;
pub use query::{By, HourRow, NamespaceUse, PodUses, SandboxKey, Status};
pub use verify::{Finding, Verified};
