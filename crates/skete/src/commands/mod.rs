//! One module per command.

pub mod attach;
pub mod completion;
mod control;
pub mod cost;
pub mod doctor;
mod estimate;
pub mod exec;
pub mod image;
pub mod inspect;
pub mod invoice;
pub mod kill;
pub mod ledger;
pub mod logs;
pub mod node;
pub mod port;
pub mod prices;
pub mod ps;
pub mod rm;
pub mod run;
mod run_flags;
mod run_images;
mod run_words;
mod serve;
mod session;
pub mod stats;
pub mod stop;
pub mod top;
pub mod usage;
pub mod version;
pub mod wait;

use crate::cli::{Cli, Command};
use crate::failure::Failure;
use crate::record::{ContainerPhase, ContainerRecord, PodId, PodRecord};
use crate::{supervise, sweep};

/// Does what the command line says; comes back with the exit code.
///
/// # Errors
/// What the command could not do.
pub fn dispatch(cli: Cli) -> Result<u8, Failure> {
    let paths = cli.global.paths()?;
    match &cli.command {
        // These say nothing about Pods, and must work for everybody.
        Command::Version(version) => return version.run(),
        Command::Completion(completion) => return completion.run(),
        Command::Cost(cost) => return cost.run(&paths),
        Command::Invoice(invoice) => return invoice.run(&paths),
        Command::Ledger(ledger) => return ledger.run(&paths),
        Command::Prices(prices) => return prices.run(),
        // Its Pods are containerd's.
        Command::Node(node) => return node.run(&paths),
        Command::Supervise(follower) => {
            let id = PodId::try_from(follower.pod.clone())?;
            return supervise::run(paths, &id);
        }
        Command::Doctor(doctor) => {
            // Whoever asks what is wrong is told so even if nothing can be cleaned up.
            let _ = sweep::sweep(&paths);
            return doctor.run(&paths);
        }
        _ => sweep::sweep(&paths)?,
    }
    match cli.command {
        Command::Run(run) => run.run(&paths),
        Command::Ps(ps) => ps.run(&paths),
        Command::Logs(logs) => logs.run(&paths),
        Command::Exec(exec) => exec.run(&paths),
        Command::Attach(attach) => attach.run(&paths),
        Command::Wait(wait) => wait.run(&paths),
        Command::Stop(stop) => stop.run(&paths),
        Command::Kill(kill) => kill.run(&paths),
        Command::Rm(rm) => rm.run(&paths),
        Command::Inspect(inspect) => inspect.run(&paths),
        Command::Stats(stats) => stats.run(&paths),
        Command::Usage(usage) => usage.run(&paths),
        Command::Port(port) => port.run(&paths),
        Command::Top(top) => top.run(&paths),
        Command::Image(image) => image.run(&paths),
        Command::Pull(pull) => pull.run(&paths),
        Command::Images(ls) => ls.run(&paths),
        Command::Rmi(rm) => rm.run(&paths),
        Command::Load(load) => load.run(&paths),
        Command::Doctor(_)
        | Command::Version(_)
        | Command::Completion(_)
        | Command::Cost(_)
        | Command::Invoice(_)
        | Command::Ledger(_)
        | Command::Prices(_)
        | Command::Node(_)
        | Command::Supervise(_) => Ok(0),
    }
}

/// Which container of a Pod is meant.
pub(crate) fn container_of<'a>(
    record: &'a PodRecord,
    name: Option<&str>,
) -> Result<&'a ContainerRecord, Failure> {
    let found = match name {
        Some(name) => record.container(name),
        None => record.main_container(),
    };
    found.ok_or_else(|| {
        let names: Vec<_> = record.containers.iter().map(|c| c.name.as_str()).collect();
        Failure::own(format!(
            "Pod {} has no container {:?}: it has {}",
            record.name,
            name.unwrap_or_default(),
            names.join(", ")
        ))
    })
}

/// As [`container_of`], and it runs now.
pub(crate) fn running_container_of<'a>(
    record: &'a PodRecord,
    name: Option<&str>,
) -> Result<&'a ContainerRecord, Failure> {
    let container = container_of(record, name)?;
    if container.state != ContainerPhase::Running {
        return Err(Failure::own(format!(
            "container {} of Pod {} does not run now",
            container.name, record.name
        )));
    }
    Ok(container)
}

/// Does something for each of several Pods: one that fails does not keep the others from it.
pub(crate) fn for_each(
    names: &[String],
    mut each: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<u8, Failure> {
    let mut code = 0;
    for name in names {
        if let Err(failure) = each(name) {
            if let Some(message) = failure.message() {
                crate::complain(message);
            }
            code = failure.code();
        }
    }
    Ok(code)
}

/// What a Pod is doing, in people's words.
pub(crate) fn status(record: &PodRecord) -> String {
    use crate::output::{ago, rough, since};
    if let Some(end) = &record.end {
        let how = match end.reason.as_str() {
            "Completed" | "Error" | "Stopped" | "Killed" => {
                format!("Exited ({})", end.exit_code)
            }
            reason => format!("{reason} ({})", end.exit_code),
        };
        return format!("{how} {}", ago(end.time));
    }
    let waiting = record.containers.iter().find(|c| !c.waiting.is_empty());
    if let Some(waiting) = waiting.filter(|c| c.waiting == "CrashLoopBackOff") {
        return waiting.waiting.clone();
    }
    match record.main_container().and_then(|c| c.started) {
        Some(started) => format!("Up {}", rough(since(started))),
        None => "Pending".to_owned(),
    }
}
