//! The follower: the kubelet's part for one Pod. It is a process of its own, so that the Pod
//! outlives the terminal; it holds the Pod's lock, so that everybody sees whether it lives.

mod container;
mod control;
mod events;
mod life;
pub mod plan;
pub mod prepare;
mod state;
mod streams;
mod subscribers;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skete_usage::Beginning;

use crate::failure::{Failure, chain, one_line};
use crate::files;
use crate::images::FoundImage;
use crate::lock::Lock;
use crate::paths::Paths;
use crate::record::{PodId, PodRecord};
use state::State;

pub use container::exit_code_of;

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "supervise";
/// What the follower says once its socket is there.
const READY: &str = "ready\n";
/// Input that `skete run` leaves for the follower is never larger.
const MAX_INPUT: u64 = 64 << 20;
/// After everything of a Pod is gone, what it wrote is kept so long for those who read slowly.
const LINGER: Duration = Duration::from_secs(600);

/// What `skete run` tells the follower beside the record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// The Pod, and the ConfigMaps and Secrets beside it.
    pub manifest: serde_json::Value,
    /// Whether it gets loopback only.
    #[serde(default)]
    pub no_network: bool,
    /// Who comes before anything starts.
    #[serde(default)]
    pub first: First,
    /// The images, as the Pod names them. They are held for the Pod, so nobody looks again.
    pub images: BTreeMap<String, FoundImage>,
    /// What was before there is a sandbox, for the Pod's usage journal.
    #[serde(default)]
    pub beginning: Beginning,
    /// What the user chose of the VM's makers.
    #[serde(default)]
    pub hypervisor: Option<String>,
}

/// Whom a follower waits for before it starts anything, so that nothing is missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum First {
    /// Nobody.
    #[default]
    Nobody,
    /// Somebody who attaches.
    Attached,
    /// Somebody who watches.
    Watcher,
}

/// What can go wrong before a follower follows.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The process could not be started.
    #[error("cannot start the Pod's follower")]
    Spawn(#[source] io::Error),
    /// It ended at once.
    #[error("the Pod's follower ended at once: {0}")]
    Ended(String),
}

/// Starts the follower of a Pod and hands it the lock; comes back when its socket is there.
///
/// # Errors
/// The process could not be started, or ended at once.
pub fn spawn(paths: &Paths, id: &PodId, lock: Lock) -> Result<(), SpawnError> {
    let own = std::env::current_exe().map_err(SpawnError::Spawn)?;
    let log = open_log(&paths.follower_log(id)).map_err(SpawnError::Spawn)?;
    let mut child = Command::new(own)
        .arg0("skete")
        .arg("--root")
        .arg(&paths.root)
        .arg("--run-root")
        .arg(&paths.run_root)
        .arg(SUBCOMMAND)
        .arg(id.as_str())
        // The lock belongs to the open file: whoever has it open holds it.
        .stdin(lock.share().map_err(SpawnError::Spawn)?)
        .stdout(Stdio::piped())
        .stderr(log)
        .current_dir("/")
        .spawn()
        .map_err(SpawnError::Spawn)?;
    drop(lock);
    let mut said = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        use std::io::Read;
        let mut buffer = [0; READY.len()];
        if stdout.read_exact(&mut buffer).is_ok() {
            said = String::from_utf8_lossy(&buffer).into_owned();
        }
    }
    if said == READY {
        return Ok(());
    }
    // It said why in its log.
    let _ = child.wait();
    Err(SpawnError::Ended(last_words(&paths.follower_log(id))))
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().last().unwrap_or("it did not say why");
    one_line(last)
}

fn open_log(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// The follower itself.
///
/// # Errors
/// The Pod cannot be followed; the next command of any kind cleans up.
pub fn run(paths: Paths, id: &PodId) -> Result<u8, Failure> {
    let lock = take_over()?;
    let log = open_log(&paths.follower_log(id))?;
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(Mutex::new(log))
        .init();
    let record = PodRecord::load(&paths, id)?;
    let bytes = files::read_bounded(&paths.pod_input(id), MAX_INPUT)?;
    let input: Input = serde_json::from_slice(&bytes)?;
    let grace = prepare::grace(&record);
    let state = Arc::new(State::new(paths, record, grace));
    let runtime = crate::runtime()?;
    let code = runtime.block_on(follow(state, input, lock));
    // A thread that hangs in a system call must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(code)
}

/// Makes this process independent of whoever started it, and comes back with the lock it was
/// handed as standard input.
fn take_over() -> Result<Lock, Failure> {
    let lock = rustix::io::fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let null = File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    // Fails only for the leader of a process group, who has no terminal to lose then.
    if let Err(errno) = rustix::process::setsid()
        && errno != rustix::io::Errno::PERM
    {
        return Err(errno.into());
    }
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    Ok(Lock::adopt(File::from(lock)))
}

async fn follow(state: Arc<State>, input: Input, lock: Lock) -> u8 {
    state.change(|record| record.follower_pid = Some(std::process::id()));
    let id = state.record().id;
    let listening = files::make_private_dir(&state.paths.run_pod(&id))
        .and_then(|()| control::listen(&state))
        .and_then(|listener| {
            tokio::spawn(control::serve(listener, Arc::clone(&state)));
            tokio::spawn(heed_signals(Arc::clone(&state)));
            say_ready()
        });
    let code = match listening {
        Ok(()) => life::live(&state, input).await,
        Err(error) => {
            tracing::error!(%error, "cannot listen");
            life::end(&state, life::Ending::failed(error.to_string())).await
        }
    };
    let record = state.record();
    let cleaned = !state.paths.run_pod(&id).exists();
    if cleaned {
        let mark = state.paths.active_mark(&id);
        if let Err(error) = files::remove_file(&mark) {
            tracing::error!(%error, "cannot remove the mark");
        }
        if record.remove
            && let Err(error) = crate::pods::remove_held(&state.paths, &id)
        {
            tracing::error!(error = %chain(&error), "cannot remove the record");
        }
    }
    // Whatever is not cleaned up is the next command's to try again, which takes the lock first.
    drop(lock);
    state.subscribers.tell(life::ended_event(&record));
    state.subscribers.end(LINGER).await;
    code
}

fn say_ready() -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(READY.as_bytes())?;
    out.flush()?;
    // Whoever started this reads until the end.
    rustix::stdio::dup2_stdout(File::options().write(true).open("/dev/null")?)?;
    Ok(())
}

/// A machine that is shut down asks its processes to end; a Pod is then ended in good order.
async fn heed_signals(state: Arc<State>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int), Ok(mut hup)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    ) else {
        return;
    };
    loop {
        tokio::select! {
            _ = term.recv() => state.request_stop(None, None, "Stopped"),
            _ = int.recv() => state.request_stop(None, None, "Stopped"),
            // The terminal is closed: the Pod goes on.
            _ = hup.recv() => {}
        }
    }
}
