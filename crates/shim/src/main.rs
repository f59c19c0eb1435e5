//! `containerd-shim-skete-v2`: one process per Pod that containerd, or `skete`, starts and speaks
//! to over ttrpc.
//!
//! The actions `start`, `delete` and `-info` answer in containerd's bootstrap protocol, old and
//! new (`containerd-shim` speaks both). Without an action the process is the daemon: it serves
//! containerd's Sandbox API (v1) and Task API (v3) on one socket until it is shut down.
#![forbid(unsafe_code)]

mod bootstrap;
mod convert;
mod events;
mod metrics;
mod sandbox_service;
mod serve;
mod service;
mod task_service;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let flags = match containerd_shim::parse(&arguments) {
        Ok(flags) => flags,
        Err(error) => return fail(&error),
    };
    if flags.version {
        println!("containerd-shim-skete-v2 {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    // One thread: the monitor dies with the thread that started it (`PR_SET_PDEATHSIG`), and that
    // has to be the one that lives as long as the process.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    let done = if flags.action.is_empty() && !flags.info {
        runtime
            .block_on(serve::serve(&flags))
            .map_err(|error| error.chain())
    } else {
        runtime.block_on(bootstrap::act());
        Ok(())
    };
    // Reads of FIFOs may still be pending in the runtime; the process ends without them.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("containerd-shim-skete-v2: {error}");
    ExitCode::FAILURE
}
