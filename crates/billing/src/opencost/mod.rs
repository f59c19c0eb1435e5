//! OpenCost's API: a query and what is known of the Pods in, the answer's text out.
//!
//! Nothing here is sampled, so `resolution` changes nothing. Pods are told apart by UID: the part of a
//! key that names a Pod is `NAME@UID`. Skete meters Pods, not their containers, and knows nothing of
//! Services: those parts are `__unallocated__`. What is charged once for a Pod, and not for its time,
//! is its `externalCost`, and ephemeral storage its `pvCost`.

mod allocation;
mod answer;
mod filter;
mod metrics;
mod property;
mod query;
mod window;

use skete_usage::{PodUse, Size};
use thiserror::Error;

pub use answer::error;
pub use metrics::{Detail, metrics};
pub use query::Query;

use crate::list::PriceList;

/// The key of what nobody had.
pub(crate) const IDLE: &str = "__idle__";
/// The part of a key that a Pod does not have.
pub(crate) const UNALLOCATED: &str = "__unallocated__";

/// A question that is not answered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QueryError {
    /// A parameter that has to be there.
    #[error("parameter {0:?} is missing")]
    Missing(&'static str),
    /// A parameter that is not known.
    #[error("parameter {0:?} is not known")]
    Unknown(String),
    /// A parameter that OpenCost knows, and that cannot be honoured.
    #[error("parameter {0:?} is not supported")]
    Unsupported(String),
    /// A value that is none.
    #[error("parameter {parameter:?}: {problem}")]
    Value {
        /// Which parameter.
        parameter: &'static str,
        /// What is wrong, and what is wanted.
        problem: String,
    },
    /// More would be told than is told at once.
    #[error(
        "that is more than {0} allocations: ask for a shorter window, a longer step or another aggregate"
    )]
    TooMany(usize),
}

impl QueryError {
    fn value(parameter: &'static str, problem: impl Into<String>) -> Self {
        Self::Value {
            parameter,
            problem: problem.into(),
        }
    }
}

/// The machine.
#[derive(Debug, Clone)]
pub struct Node {
    /// What its cluster is called.
    pub cluster: String,
    /// What it is called.
    pub name: String,
    /// What it has.
    pub size: Size,
    /// Since when it runs: before, nothing of it was idle.
    pub since_ns: i64,
}

/// What is known when a question comes.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Each Pod whole: a price list's clock counts from its beginning.
    pub pods: &'a [PodUse],
    /// One of them again, in shorter spans: it tells better when something was used. Nothing is
    /// charged by it.
    pub fine: Option<&'a PodUse>,
    /// The prices.
    pub list: &'a PriceList,
    /// The machine.
    pub node: &'a Node,
    /// Now.
    pub now_ns: i64,
    /// How many journals could not be read.
    pub unreadable: usize,
}

/// Answers `/allocation` and `/allocation/compute`.
///
/// # Errors
/// [`QueryError`]: code 400.
pub fn allocation(query: &Query, known: Known<'_>) -> Result<String, QueryError> {
    Ok(answer::allocations(
        &allocation::compute(query, known)?,
        known,
    ))
}

/// Answers `/allocation/summary` and `/allocation/compute/summary`.
///
/// # Errors
/// As for [`allocation`].
pub fn summary(query: &Query, known: Known<'_>) -> Result<String, QueryError> {
    Ok(answer::summary(
        query,
        &allocation::compute(query, known)?,
        known,
    ))
}

/// Answers `/assets`: the machine is the only one.
///
/// # Errors
/// As for [`allocation`].
pub fn assets(query: &Query, known: Known<'_>) -> Result<String, QueryError> {
    Ok(answer::assets(query, known))
}

#[cfg(test)]
#[path = "opencost_test.rs"]
mod tests;
