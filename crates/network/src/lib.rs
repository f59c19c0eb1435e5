//! The network of a Pod: network namespaces, taps, traffic control and filters.
//!
//! [`attach`] is for the engine: it is handed a namespace that a CNI plugin has set up, as under
//! Kubernetes, and puts a tap behind each of its interfaces. [`netns`] is for one machine: it
//! makes that namespace.

#![deny(unsafe_code)]

mod attach;
mod filter;
mod interface;
pub mod netlink;
pub mod netns;
mod sys;
mod tc;
#[cfg(test)]
mod testing;

pub use attach::{Attachment, Error as AttachError, Interface, attach, detach};
pub use interface::{Mac, Route};
