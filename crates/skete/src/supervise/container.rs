//! One container's life: made, started, waited for, started again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ttrpc::Code;

use super::plan::{BackOff, ContainerPlan};
use super::state::{State, Stop};
use super::streams::{Input, Output};
use crate::failure::{CANNOT_EXECUTE, NOT_FOUND};
use crate::fifo;
use crate::files;
use crate::logs::LogWriter;
use crate::record::{ContainerPhase, ContainerRecord, Termination, random_hex};
use crate::shim_client::{Io, ShimClient, ShimError};
use crate::signals;
use crate::wire::Event;

/// After SIGKILL the guest has so long to tell of the process's end.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// Why a container's life could not be followed to its end.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// A file of the host's.
    #[error("cannot prepare container {container}")]
    Prepare {
        /// Which.
        container: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Pod and image do not fit together.
    #[error(transparent)]
    Spec(#[from] skete_pod::SpecError),
    /// The shim is gone.
    #[error("lost container {container}")]
    Lost {
        /// Which.
        container: String,
        /// Why.
        #[source]
        source: ShimError,
    },
}

/// Follows a container until it is not started again; comes back with how its last run ended, or
/// `None` if it never ran because the Pod was to end.
///
/// # Errors
/// The shim is gone, or a file of the host's is at fault.
pub async fn live(
    state: Arc<State>,
    plan: Arc<ContainerPlan>,
    shim: ShimClient,
) -> Result<Option<Termination>, ContainerError> {
    let mut back_off = BackOff::default();
    let mut last = None;
    for run in 0.. {
        if state.is_stopping() {
            return Ok(last);
        }
        let began = Instant::now();
        let termination = Box::pin(run_once(&state, &plan, &shim, run)).await?;
        let exit_code = termination.exit_code;
        last = Some(termination);
        let over = state.is_stopping() || state.ended_by_hand(&plan.name);
        if over || !plan.restart.applies(exit_code) {
            return Ok(last);
        }
        let wait = back_off.after(began.elapsed());
        change(&state, &plan, |c| {
            c.state = ContainerPhase::Waiting;
            c.waiting = "CrashLoopBackOff".to_owned();
            c.restarts += 1;
        });
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = state.stop_requested() => return Ok(last),
        }
    }
    Ok(last)
}

async fn run_once(
    state: &Arc<State>,
    plan: &Arc<ContainerPlan>,
    shim: &ShimClient,
    run: u32,
) -> Result<Termination, ContainerError> {
    let prepare = |source| ContainerError::Prepare {
        container: plan.name.clone(),
        source,
    };
    let pod = state.record().id;
    let task = random_hex(32).map_err(prepare)?;
    let bundle = state.paths.container_bundle(&pod, &task);
    let logs = state.paths.container_logs(&pod, &plan.name);
    let spec = plan.spec(&task)?;
    let (fifos, output) = (|| {
        files::make_private_dir(&bundle)?;
        std::fs::write(bundle.join("config.json"), &spec)?;
        files::make_private_dir(&logs)?;
        crate::logs::forget_old(&logs, run)?;
        let log = LogWriter::open(&logs.join(format!("{run}.log")))?;
        let fifos = fifo::Paths::make(&bundle, plan.stdin, plan.tty)?;
        let output = Output::pump(&fifos, log, plan.place, &state.subscribers)?;
        Ok((fifos, output))
    })()
    .map_err(prepare)?;

    let lost = |source| ContainerError::Lost {
        container: plan.name.clone(),
        source,
    };
    let started = Instant::now();
    let created = shim
        .create(&task, &bundle, plan.rootfs(), Io::new(&fifos, plan.tty))
        .await;
    if run == 0 {
        state.timed(format!("container {} create", plan.name), started.elapsed());
    }
    let begun = match created {
        Ok(_) => {
            let started = Instant::now();
            let begun = shim.start(&task, "").await;
            if run == 0 {
                state.timed(format!("container {} start", plan.name), started.elapsed());
            }
            begun
        }
        Err(error) => Err(error),
    };
    let termination = match begun {
        Ok(pid) => {
            let began = Timestamp::now();
            state.set_running(&plan.name, Some(task.clone()));
            change(state, plan, |c| {
                c.state = ContainerPhase::Running;
                c.waiting.clear();
                c.task_id.clone_from(&task);
                c.pid = Some(pid);
                c.started = Some(began);
            });
            state.subscribers.tell(Event::ContainerStarted {
                container: plan.name.clone(),
            });
            let ended = attend(state, plan, shim, &task, &fifos).await;
            state.set_running(&plan.name, None);
            let (exit_code, finished, oom) = ended.map_err(lost)?;
            termination(exit_code, oom, began, finished)
        }
        Err(error) if error.is_gone() => return Err(lost(error)),
        Err(error) => could_not_start(&error),
    };
    output.finish().await;
    match shim.delete(&task, "").await {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) if error.is_gone() => return Err(lost(error)),
        Err(error) => tracing::warn!(container = %plan.name, %error, "cannot delete"),
    }
    if let Err(error) = files::remove_tree(&bundle) {
        tracing::warn!(container = %plan.name, %error, "cannot remove the bundle");
    }
    change(state, plan, |c| {
        c.state = ContainerPhase::Terminated;
        c.pid = None;
        c.terminated = Some(termination.clone());
    });
    state.subscribers.tell(Event::ContainerEnded {
        container: plan.name.clone(),
        exit_code: termination.exit_code,
        reason: termination.reason.clone(),
        message: termination.message.clone(),
    });
    Ok(termination)
}

/// Waits for the end of a running container, feeds it what is typed, and ends it if the Pod is to
/// end.
async fn attend(
    state: &Arc<State>,
    plan: &ContainerPlan,
    shim: &ShimClient,
    task: &str,
    fifos: &fifo::Paths,
) -> Result<(u32, Timestamp, bool), ShimError> {
    if let Some(window) = state.window(&plan.name) {
        let _ = shim.resize(task, "", window.columns, window.rows).await;
    }
    let feeding = feed(state.input(&plan.name), shim, task, fifos);
    let ending = end_when_asked(state, plan, shim, task);
    let waiting = shim.wait(task, "");
    tokio::pin!(feeding, ending, waiting);
    let (mut fed, mut ended) = (false, false);
    let response = loop {
        tokio::select! {
            biased;
            response = &mut waiting => break response?,
            () = &mut feeding, if !fed => fed = true,
            result = &mut ending, if !ended => {
                result?;
                ended = true;
            }
        }
    };
    let finished = response
        .exited_at
        .as_ref()
        .and_then(|at| Timestamp::new(at.seconds, at.nanos).ok())
        .filter(|at| at.as_second() > 0)
        .unwrap_or_else(Timestamp::now);
    // A container that was killed by hand was not killed for want of memory.
    let killed = response.exit_status == 128 + signals::KILL && !state.is_stopping();
    let oom = killed && state.events.was_oom_killed(task).await;
    Ok((response.exit_status, finished, oom))
}

async fn feed(input: Option<Arc<Input>>, shim: &ShimClient, task: &str, fifos: &fifo::Paths) {
    let (Some(input), Some(path)) = (input, &fifos.stdin) else {
        return;
    };
    let fed = match fifo::open_writer(path) {
        Ok(to) => input.pump(to).await,
        Err(error) => Err(error),
    };
    if let Err(error) = fed {
        tracing::debug!(%error, "standard input");
    }
    // The process may have ended meanwhile.
    let _ = shim.close_stdin(task, "").await;
}

/// Once the Pod is to end: the signal, the grace period, SIGKILL.
async fn end_when_asked(
    state: &State,
    plan: &ContainerPlan,
    shim: &ShimClient,
    task: &str,
) -> Result<(), ShimError> {
    let Stop {
        signal,
        mut deadline,
        ..
    } = state.stop_requested().await;
    let mut stop = state.stop();
    if deadline > Instant::now() {
        let signal = signal.unwrap_or(plan.stop_signal);
        ignore_gone(shim.kill(task, "", signal, false).await)?;
    }
    while deadline > Instant::now() {
        tokio::select! {
            () = tokio::time::sleep_until(deadline.into()) => {}
            changed = stop.changed() => {
                // The sender lives as long as the state.
                let sooner = stop.borrow_and_update().as_ref().map(|s| s.deadline);
                if changed.is_ok() && let Some(sooner) = sooner {
                    deadline = sooner;
                }
            }
        }
    }
    ignore_gone(shim.kill(task, "", signals::KILL, true).await)?;
    tokio::time::sleep(KILL_PATIENCE).await;
    Err(ShimError::Gone(format!(
        "container {} does not end after SIGKILL",
        plan.name
    )))
}

fn ignore_gone(result: Result<(), ShimError>) -> Result<(), ShimError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

fn termination(exit_code: u32, oom: bool, started: Timestamp, finished: Timestamp) -> Termination {
    let reason = match exit_code {
        _ if oom => "OOMKilled",
        0 => "Completed",
        _ => "Error",
    };
    Termination {
        exit_code,
        reason: reason.to_owned(),
        message: String::new(),
        started: Some(started),
        finished: finished.max(started),
    }
}

fn could_not_start(error: &ShimError) -> Termination {
    let message = error.to_string();
    Termination {
        exit_code: u32::from(exit_code_of(error)),
        reason: "ContainerCannotRun".to_owned(),
        message,
        started: None,
        finished: Timestamp::now(),
    }
}

/// What `docker run` exits with for a command that could not be started.
pub fn exit_code_of(error: &ShimError) -> u8 {
    let ShimError::Rpc { code, message } = error else {
        return crate::failure::OWN_ERROR;
    };
    let message = message.to_ascii_lowercase();
    let tells = |words: &[&str]| words.iter().any(|word| message.contains(word));
    // The code is the engine's word; the text is the kernel's, for an engine that has no word.
    if *code == Code::PERMISSION_DENIED
        || tells(&[
            "permission denied",
            "exec format error",
            "is a directory",
            "not executable",
            "eacces",
            "enoexec",
        ])
    {
        CANNOT_EXECUTE
    } else if *code == Code::NOT_FOUND
        || tells(&[
            "no such file",
            "executable not found",
            "command not found",
            "not found in $path",
            "enoent",
        ])
    {
        NOT_FOUND
    } else {
        crate::failure::OWN_ERROR
    }
}

fn change(state: &State, plan: &ContainerPlan, change: impl FnOnce(&mut ContainerRecord)) {
    state.change(|record| {
        if let Some(container) = record.containers.get_mut(usize::from(plan.place)) {
            change(container);
        }
    });
}
