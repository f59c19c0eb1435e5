//! PID 1 of a guest: runs the containers of one Pod for the engine on the host.
//!
//! ```text
//! engine ── vsock ──┬─ control: ttrpc          server.rs
//!                   ├─ streams of processes    stdio.rs
//!                   └─ TCP into the guest      forward.rs
//! ```
//!
//! PID 1 has one thread, never blocks and never forks by itself. What does is done by worker
//! processes, which are this program again (`worker.rs`): making a container (`create.rs`,
//! `rootfs.rs`), starting a process in one (`exec.rs`), removing it (`delete.rs`).

mod beneath;
mod boot;
mod cgroup;
mod clock;
mod container;
mod create;
mod delete;
mod devices;
mod disk;
mod exec;
mod failure;
mod forward;
mod listen;
mod lookup;
mod network;
mod notes;
mod pidns;
mod power;
mod process;
mod reaper;
mod rootfs;
mod sandbox;
mod server;
mod spec;
mod stats;
mod stdio;
mod sys;
mod user;
mod userns;
mod volume;
mod volume_mount;
mod volumes;
mod worker;

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skete_agent_api::{CONTROL_PORT, FORWARD_PORT, STDIO_PORT, agent_ttrpc};
use tokio::runtime::Builder;

use crate::failure::chain;
use crate::network::Network;
use crate::reaper::Reaper;
use crate::server::Agent;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(worker::SUBCOMMAND) => worker::main(),
        Some(pidns::SUBCOMMAND) => match pidns::main() {
            Ok(never) => match never {},
            Err(error) => fail(&error),
        },
        Some(userns::SUBCOMMAND) => match userns::hold() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        _ if std::process::id() == 1 => match serve() {
            Ok(never) => match never {},
            Err(error) => fail(&error),
        },
        _ => {
            eprintln!(
                "skete-agent: this is the first process of a guest and cannot be run otherwise"
            );
            ExitCode::FAILURE
        }
    }
}

fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("skete-agent: {}", chain(error));
    ExitCode::FAILURE
}

/// What PID 1 does until the guest is turned off.
fn serve() -> io::Result<std::convert::Infallible> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // First of all, because the engine is waiting: what connects is answered when all is set
        // up, a few milliseconds later.
        let control = listen::bind(CONTROL_PORT)?;
        let stdio = listen::bind(STDIO_PORT)?;
        let forward = listen::bind(FORWARD_PORT)?;
        let listening_ns = clock::boottime_ns();
        boot::set_up().map_err(|error| io::Error::other(chain(&error)))?;
        Network::open()
            .and_then(|mut network| network.loopback_up())
            .map_err(|error| io::Error::other(chain(&error)))?;
        let reaper = Arc::new(Reaper::default());
        let children = reaper::children()?;
        let agent = Arc::new(Agent::new(Arc::clone(&reaper), listening_ns));
        let mut server = ttrpc::r#async::Server::new()
            .add_listener(ttrpc::r#async::transport::Listener::new(listen::incoming(
                control,
            )))
            .register_service(agent_ttrpc::create_agent(agent.clone()));
        server.start().await.map_err(io::Error::other)?;
        tokio::spawn(stdio::serve(stdio, agent));
        tokio::spawn(forward::serve(forward));
        reaper.run(children).await;
        Err(io::Error::other("the signal handler has ended"))
    })
}

/// Locks a mutex. A panic ends this process, so none is ever poisoned by another thread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a string can be the id of a container, an exec or a volume: one path component.
fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=128).contains(&id.len()) && id.bytes().all(allowed) && !matches!(id, "." | "..")
}
