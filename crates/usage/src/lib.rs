//! What a Pod was given and what it used, second by second.
//!
//! The engine sees every Pod begin and end, so nothing here is sampled. Quantities are whole
//! numbers: milli-vCPU, bytes, nanoseconds. There is no floating point on the way to a bill.
#![forbid(unsafe_code)]

mod pod_use;

pub use pod_use::{Controller, Ended, Pod, PodUse, Size, Span, Used};
