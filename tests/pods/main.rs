//! A staged installation, run as a user would run it: what is typed, what comes back, and that
//! nothing is left. `SKETE_TEST_STAGE` names the installation (`bin/` and `share/skete/`).
//!
//! Each test has a machine of its own: roots of its own and a network namespace of its own, so
//! that neither the bridge nor the rules of its Pods are this machine's.
#![cfg(test)]
#![forbid(unsafe_code)]

mod images;
mod kills;
mod lifecycle;
mod limits;
mod many;
mod network;
mod pod_file;
mod run;
mod support;
mod usage;
