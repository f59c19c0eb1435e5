//! Builds, installs, runs, tests and measures Skete: `cargo xtask --help`.
#![forbid(unsafe_code)]

fn main() {}
