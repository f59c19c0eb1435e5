//! The agent in a guest. Each test boots its own; `SKETE_TEST_KERNEL`, `SKETE_TEST_AGENT` (the
//! static program) and `SKETE_TEST_VSOCK` name what they are made of.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod containers;
mod machine;
mod sandbox;

use ttrpc::{Code, Error};

/// The status of a request that failed.
fn status(result: ttrpc::Result<(String, u32)>) -> (Code, String) {
    match result.expect_err("it should have failed") {
        Error::RpcStatus(status) => (status.code(), status.message().to_owned()),
        other => panic!("{other}"),
    }
}
