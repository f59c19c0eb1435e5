//! `containerd-shim-skete-v2`: one process per Pod that containerd, or `skete`, starts and speaks
//! to over ttrpc.
//!
//! The actions `start`, `delete` and `-info` answer in containerd's bootstrap protocol, old and
//! new. Without an action the process is the daemon: it serves containerd's Sandbox API (v1) and
//! Task API (v3) on one socket until it is shut down.
#![forbid(unsafe_code)]

mod actions;
mod convert;
mod events;
mod flags;
mod metrics;
mod sandbox_service;
mod serve;
mod service;
mod start;
mod task_service;

use std::error::Error;
use std::process::ExitCode;

use flags::Flags;
use skete_sandbox::error::chain;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("containerd-shim-skete-v2: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse(std::env::args_os().skip(1))?;
    if flags.version {
        println!("containerd-shim-skete-v2 {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    if flags.info || !flags.action.is_empty() {
        return Ok(actions::act(&flags)?);
    }
    // One thread: the monitor dies with the thread that started it (`PR_SET_PDEATHSIG`), and that
    // has to be the one that lives as long as the process.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve::serve(&flags));
    // Reads of FIFOs may still be pending in the runtime; the process ends without them.
    runtime.shutdown_background();
    Ok(served?)
}
