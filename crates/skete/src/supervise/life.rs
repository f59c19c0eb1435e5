//! A Pod's life: network, sandbox, init containers, containers, and its end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::JoinSet;

use super::container::{self, ContainerError};
use super::plan::ContainerPlan;
use super::prepare::{self, Prepared};
use super::state::State;
use super::{First, Input};
use crate::cleanup;
use crate::failure::{OWN_ERROR, chain};
use crate::files;
use crate::net;
use crate::process::Process;
use crate::record::{End, Phase, PodRecord, Termination, Timing};
use crate::shim_client::{self, ShimClient, ShimRecord};
use crate::shim_process;
use crate::signals;
use crate::wire::Event;

/// Whoever started the Pod has so long to attach before its first container starts.
const ATTACH_PATIENCE: Duration = Duration::from_secs(10);
/// The end of a VM is known so long after its agent does not answer any more.
const DEATH_PATIENCE: Duration = Duration::from_secs(1);
/// After SIGKILL to all containers the sandbox has nothing to wait for.
const STOP_GRACE: Duration = Duration::ZERO;

/// Begins the names of phases that are the engine's.
const ENGINE: &str = "  engine: ";

/// How a Pod comes to its end.
#[derive(Debug)]
pub struct Ending {
    reason: &'static str,
    message: String,
    exit_code: u32,
}

impl Ending {
    /// Something of Skete's own went wrong.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            reason: "StartFailed",
            message: message.into(),
            exit_code: u32::from(OWN_ERROR),
        }
    }
}

/// What is there of a sandbox.
#[derive(Default)]
struct Sandbox {
    client: Option<ShimClient>,
    shim: Option<ShimRecord>,
    started: bool,
    events: Option<ttrpc::asynchronous::Server>,
}

/// Lives a Pod's life to its end; comes back with what `skete run` exits with.
pub async fn live(state: &Arc<State>, input: Input) -> u8 {
    let mut sandbox = Sandbox::default();
    if input.first != First::Nobody {
        let watch = input.first == First::Watcher;
        let subscribers = &state.subscribers;
        subscribers.wait_for_first(watch, ATTACH_PATIENCE).await;
    }
    let ending = match start(state, &input, &mut sandbox).await {
        Ok(Some(prepared)) => run(state, &prepared, &mut sandbox).await,
        Ok(None) => stopped(state),
        Err(message) => Ending::failed(message),
    };
    take_down(state, sandbox, ending).await
}

/// Ends a Pod that has no sandbox.
pub async fn end(state: &Arc<State>, ending: Ending) -> u8 {
    take_down(state, Sandbox::default(), ending).await
}

/// Makes network and sandbox; `None` if the Pod's end was wished meanwhile.
async fn start(
    state: &Arc<State>,
    input: &Input,
    sandbox: &mut Sandbox,
) -> Result<Option<Prepared>, String> {
    let told = |error: &dyn std::error::Error| chain(error);
    let record = state.record();
    let id = record.id.clone();
    let paths = &state.paths;

    let began = Instant::now();
    let network = net::create(paths, &id, input.no_network, &record.network.ports)
        .await
        .map_err(|error| told(&error))?;
    state.timed("network", began.elapsed());
    state.change(|record| {
        record.network.netns = network.netns.to_string_lossy().into_owned();
        record.network.addresses = network.addresses.iter().map(|net| net.addr()).collect();
    });

    let began = Instant::now();
    let prepared =
        prepare::prepare(paths, &state.record(), input, &network).map_err(|error| told(&error))?;
    state.timed("prepare", began.elapsed());
    if state.is_stopping() {
        return Ok(None);
    }

    let began = Instant::now();
    let bundle = paths.sandbox_bundle(&id);
    for directory in [&bundle, &paths.pod_sockets(&id)] {
        files::make_private_dir(directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    let events = paths.events_socket(&id);
    let server = state.events.serve(&events).await;
    sandbox.events = Some(server.map_err(|e| format!("{}: {e}", events.display()))?);
    let address = shim_process::start(paths, &id)
        .await
        .map_err(|error| told(&error))?;
    let client = ShimClient::connect(&id, &address)
        .await
        .map_err(|error| told(&error))?;
    let pid = client.shim_pid().await.map_err(|error| told(&error))?;
    let process = Process::of(pid).ok_or("the shim ended at once")?;
    let shim = ShimRecord { address, process };
    shim_client::write_record(paths, &id, &shim)
        .map_err(|error| format!("{}: {error}", paths.shim_file(&id).display()))?;
    state.timed("shim start", began.elapsed());
    sandbox.shim = Some(shim);
    sandbox.client = Some(client.clone());

    let started = &mut sandbox.started;
    let begin = async {
        let netns = network.netns.to_string_lossy();
        let began = Instant::now();
        client
            .create_sandbox(
                &bundle,
                &netns,
                &prepared.sandbox,
                prepared.annotations.clone(),
            )
            .await?;
        state.timed("sandbox create", began.elapsed());
        let began = Instant::now();
        // From here on there is a VM, and it is counted.
        *started = true;
        let now = Timestamp::now();
        state.change(|record| record.started = Some(now));
        client.start_sandbox().await?;
        state.timed("sandbox start", began.elapsed());
        Ok::<_, shim_client::ShimError>(())
    };
    tokio::select! {
        begun = begin => begun.map_err(|error| told(&error))?,
        _ = killed(state) => return Ok(None),
    }
    learn(state, &client).await;
    state.set_shim(Some(client));
    state.subscribers.tell(Event::SandboxStarted);
    Ok(Some(prepared))
}

/// Waits until the Pod's end is wished at once: a start is not waited for then.
async fn killed(state: &State) {
    let stop = state.stop_requested().await;
    tokio::time::sleep_until(stop.deadline.into()).await;
}

/// Takes what the engine says about the start that was not known yet, and what size the VM
/// really has.
async fn learn(state: &State, client: &ShimClient) {
    let Ok(status) = client.sandbox_status().await else {
        return;
    };
    let number = |key: &str| status.info.get(key).and_then(|v| v.parse::<u64>().ok());
    let mut timings: Vec<(&str, u64)> = status
        .info
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("timing.")?, value.parse().ok()?)))
        .collect();
    // `NNN.PHASE`, in the order of the numbers.
    timings.sort_unstable();
    let record = state.record();
    let of_engine = |timing: &&Timing| timing.phase.starts_with(ENGINE);
    let known = record.timings.iter().filter(of_engine).count();
    for (key, nanoseconds) in timings.into_iter().skip(known) {
        let phase = key.split_once('.').map_or(key, |(_, phase)| phase);
        let took = Duration::from_nanos(nanoseconds);
        state.timed(format!("{ENGINE}{phase}"), took);
    }
    let vcpus = number("vcpus").and_then(|v| u32::try_from(v).ok());
    let memory = number("memory-mib");
    state.change(|record| {
        record.size.vcpus = vcpus.unwrap_or(record.size.vcpus);
        record.size.memory_mib = memory.unwrap_or(record.size.memory_mib);
        record.accelerator = status.info.get("accelerator").cloned().unwrap_or_default();
    });
}

/// Runs the containers of a sandbox that is up, until the Pod's end.
async fn run(state: &Arc<State>, prepared: &Prepared, sandbox: &mut Sandbox) -> Ending {
    let Some(client) = sandbox.client.clone() else {
        return Ending::failed("there is no sandbox");
    };
    let containers = run_containers(state, prepared, &client);
    let deadline = async {
        match prepared.active_deadline {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
        state.request_stop(None, None, "DeadlineExceeded");
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        biased;
        ending = containers => with_its_cause(ending, &client).await,
        ended = client.wait_sandbox() => sandbox_ended(ended.is_err()),
        never = deadline => match never {},
    }
}

/// A container that could not be started because its VM has just died is told of as that.
async fn with_its_cause(ending: Ending, client: &ShimClient) -> Ending {
    if ending.exit_code != u32::from(OWN_ERROR) {
        return ending;
    }
    match tokio::time::timeout(DEATH_PATIENCE, client.wait_sandbox()).await {
        Ok(ended) => sandbox_ended(ended.is_err()),
        Err(_lives) => ending,
    }
}

fn sandbox_ended(shim_gone: bool) -> Ending {
    let (reason, message) = if shim_gone {
        ("ShimKilled", "the Pod's shim is gone")
    } else {
        ("SandboxDied", "the Pod's VM is gone")
    };
    Ending {
        reason,
        message: message.to_owned(),
        exit_code: 137,
    }
}

type Lives = JoinSet<(
    Arc<ContainerPlan>,
    Result<Option<Termination>, ContainerError>,
)>;

async fn run_containers(state: &Arc<State>, prepared: &Prepared, client: &ShimClient) -> Ending {
    let mut lives: Lives = JoinSet::new();
    for plan in prepared.containers.iter().filter(|plan| plan.init) {
        if state.is_stopping() {
            break;
        }
        if plan.sidecar {
            begin(&mut lives, state, plan, client);
            continue;
        }
        let life = container::live(Arc::clone(state), Arc::clone(plan), client.clone());
        match life.await {
            Ok(Some(end)) if end.exit_code != 0 && !state.is_stopping() => {
                let ending = Ending {
                    reason: "Error",
                    message: format!(
                        "init container {} ended with exit code {}{}",
                        plan.name,
                        end.exit_code,
                        colon(&end.message)
                    ),
                    exit_code: end.exit_code,
                };
                end_sidecars(state, lives).await;
                return ending;
            }
            Ok(_) => {}
            Err(error) => return lost(&error),
        }
    }
    if state.is_stopping() {
        end_sidecars(state, lives).await;
        return stopped(state);
    }
    state.change(|record| record.phase = Phase::Running);
    let mut waited_for = 0;
    for plan in prepared.containers.iter().filter(|plan| !plan.init) {
        begin(&mut lives, state, plan, client);
        waited_for += 1;
    }
    state.subscribers.tell(Event::Started);
    let mut first_failure: Option<(String, Termination)> = None;
    while waited_for > 0 {
        let Some(joined) = lives.join_next().await else {
            break;
        };
        let (plan, result) = match joined {
            Ok(joined) => joined,
            Err(error) => return Ending::failed(error.to_string()),
        };
        match result {
            Ok(end) => {
                if plan.init {
                    continue;
                }
                waited_for -= 1;
                if let Some(end) = end
                    && end.exit_code != 0
                    && first_failure.is_none()
                {
                    first_failure = Some((plan.name.clone(), end));
                }
            }
            Err(error) => return lost(&error),
        }
    }
    let was_stopping = state.is_stopping();
    end_sidecars(state, lives).await;
    let mut ending = match first_failure {
        None => Ending {
            reason: "Completed",
            message: String::new(),
            exit_code: 0,
        },
        Some((name, end)) => Ending {
            reason: "Error",
            message: describe(&name, &end),
            exit_code: end.exit_code,
        },
    };
    if was_stopping {
        let stop = stopped(state);
        ending.reason = stop.reason;
        if ending.reason == "DeadlineExceeded" {
            ending.message = "the Pod was active longer than activeDeadlineSeconds".to_owned();
            if ending.exit_code == 0 {
                ending.exit_code = stop.exit_code;
            }
        }
    }
    ending
}

fn begin(lives: &mut Lives, state: &Arc<State>, plan: &Arc<ContainerPlan>, client: &ShimClient) {
    let (state, plan, client) = (Arc::clone(state), Arc::clone(plan), client.clone());
    lives.spawn(async move {
        let result = container::live(state, Arc::clone(&plan), client).await;
        (plan, result)
    });
}

/// Side-cars go on until the others have ended, and are then asked to end.
async fn end_sidecars(state: &State, mut lives: Lives) {
    if lives.is_empty() {
        return;
    }
    state.request_stop(None, None, "Completed");
    while lives.join_next().await.is_some() {}
}

fn describe(name: &str, end: &Termination) -> String {
    if end.reason == "OOMKilled" {
        return format!("container {name} was killed: it used more memory than its limit");
    }
    if end.started.is_none() {
        return format!(
            "container {name} could not be started{}",
            colon(&end.message)
        );
    }
    String::new()
}

fn colon(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

fn lost(error: &ContainerError) -> Ending {
    match error {
        ContainerError::Lost { .. } => sandbox_ended(true),
        ContainerError::Prepare { .. } | ContainerError::Spec(_) => Ending::failed(chain(error)),
    }
}

fn stopped(state: &State) -> Ending {
    let stop = state.stop().borrow().clone();
    let signal = stop.as_ref().and_then(|stop| stop.signal);
    Ending {
        reason: stop.map_or("Stopped", |stop| stop.reason),
        message: String::new(),
        exit_code: 128 + signal.unwrap_or(signals::KILL),
    }
}

/// Takes everything down, and puts down the end.
async fn take_down(state: &Arc<State>, sandbox: Sandbox, mut ending: Ending) -> u8 {
    let id = state.record().id;
    state.set_shim(None);
    let mut gone = sandbox.shim.is_none() && !sandbox.started;
    if let Some(client) = &sandbox.client {
        learn(state, client).await;
        gone = cleanup::end_sandbox(client, sandbox.shim.as_ref(), STOP_GRACE).await;
    }
    drop(sandbox.client);
    if let Some(mut server) = sandbox.events {
        // Nobody speaks to it any more.
        let _ = server.shutdown().await;
    }
    if !gone || ending.reason == "StartFailed" {
        keep_shim_log(state);
    }
    let mut cleaned = cleanup::clean(&state.paths, &id, gone).await;
    if cleaned.is_err() {
        // What was busy may not be any more.
        cleaned = cleanup::clean(&state.paths, &id, false).await;
    }
    if let Err(left) = &cleaned {
        tracing::error!(error = %left, "not everything could be cleaned up");
        if ending.message.is_empty() {
            ending.message = left.to_string();
        }
    }
    state.change(|record| {
        record.put_down_end(End {
            time: Timestamp::now(),
            reason: ending.reason.to_owned(),
            message: ending.message,
            exit_code: ending.exit_code,
        });
    });
    u8::try_from(ending.exit_code).unwrap_or(u8::MAX)
}

/// What the shim had to say goes with its bundle; where something went wrong, its end is kept.
fn keep_shim_log(state: &State) {
    const MOST: usize = 64 << 10;
    let path = state
        .paths
        .sandbox_bundle(&state.record().id)
        .join("shim.log");
    let Ok(log) = files::read_bounded(&path, 64 << 20) else {
        return;
    };
    let end = String::from_utf8_lossy(&log[log.len().saturating_sub(MOST)..]).into_owned();
    for line in end.lines() {
        tracing::info!(target: "shim", "{line}");
    }
}

/// What everybody is told at last.
pub fn ended_event(record: &PodRecord) -> Event {
    let end = record.end.as_ref();
    Event::Ended {
        exit_code: end.map_or(u32::from(OWN_ERROR), |end| end.exit_code),
        reason: end.map(|end| end.reason.clone()).unwrap_or_default(),
        message: end.map(|end| end.message.clone()).unwrap_or_default(),
        timings: record.timings.clone(),
    }
}
