//! `skete run`.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use jiff::Timestamp;
use skete_billing::PriceList;
use skete_hypervisor::{Qemu, accelerator, check_fits};
use skete_image::Policy;
use skete_pod::{Manifest, PodPlan, Role, annotations};
use skete_usage::Beginning;

use super::control::Control;
use super::image;
use super::prices;
use super::run_flags::{Flags, What};
use super::run_images;
use super::run_words::{lines, show_timings, timing, typed};
use super::session::{Attachment, Outcome, PodEnded, Session};
use crate::failure::{CANNOT_EXECUTE, Failure, NOT_FOUND, OWN_ERROR};
use crate::images;
use crate::lock::Lock;
use crate::names;
use crate::output;
use crate::paths::Paths;
use crate::pods::{self, PodsError};
use crate::receipt;
use crate::record::{
    ContainerPhase, ContainerRecord, NetworkRecord, Phase, PodId, PodRecord, PublishedPort, SCHEMA,
    Size, boot_id, random_uuid,
};
use crate::supervise::{self, First, Input, prepare};
use crate::wire::{Event, Request};

/// A Pod file is never larger.
const MAX_FILE: u64 = 16 << 20;

/// Run a Pod.
#[derive(Debug, Args)]
pub struct Run {
    /// Do not wait for the Pod: print its id
    #[arg(short, long)]
    detach: bool,
    /// Remove the Pod when it has ended
    #[arg(long)]
    rm: bool,
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give the container a terminal
    #[arg(short, long)]
    tty: bool,
    /// Name of the Pod
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// When to ask the registry: always, missing or never
    #[arg(long, value_name = "POLICY")]
    pull: Option<Policy>,
    /// Show how long each phase of the start took
    #[arg(long)]
    timings: bool,
    /// How to show what the Pod was given and used, on standard error
    #[arg(long, value_enum, default_value = "text", value_name = "FORM")]
    receipt: receipt::Form,
    /// The price list of the receipt, by name or file; without it, the machine's
    #[arg(long, env = prices::ENV, value_name = "NAME|FILE", hide_env_values = true)]
    prices: Option<String>,
    /// What makes the VM: kvm, emulation; without it, the best there is
    #[arg(long, value_name = "NAME")]
    hypervisor: Option<String>,
    /// Write the Pod's id to a file
    #[arg(long, alias = "cidfile", value_name = "FILE")]
    pod_id_file: Option<PathBuf>,
    /// No progress, no receipt
    #[arg(short, long)]
    quiet: bool,
    /// Pass signals on to the Pod
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    sig_proxy: bool,
    /// What a Pod file would say.
    #[command(flatten)]
    flags: Flags,
    /// An image, a Pod file (FILE.yaml, FILE.json, ./FILE) or - for standard input; after an
    /// image, the command and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "IMAGE|FILE [COMMAND]"
    )]
    args: Vec<String>,
}

/// What is run.
#[derive(Debug, PartialEq, Eq)]
enum Source<'a> {
    Image(&'a str),
    File(&'a Path),
    Stdin,
}

/// Tells a Pod file from an image by how it is written; never by what happens to be there alone.
fn source(target: &str) -> Result<Source<'_>, Failure> {
    if target == "-" {
        return Ok(Source::Stdin);
    }
    let path = Path::new(target);
    if is_like_file(target) {
        if path.is_file() {
            return Ok(Source::File(path));
        }
        let what = if path.exists() {
            "is no file"
        } else {
            "is not there"
        };
        return Err(Failure::own(format!(
            "{target} {what}: a name like that is a Pod file's, not an image's"
        )));
    }
    if path.is_file() {
        crate::complain(&format!(
            "{target} is taken for an image; for the file of that name write ./{target}"
        ));
    }
    Ok(Source::Image(target))
}

/// A Pod that is on record and not started yet.
struct Made {
    record: PodRecord,
    input: Input,
    lock: Lock,
    plan: PodPlan,
}

impl Run {
    /// Does it.
    ///
    /// # Errors
    /// The Pod could not be started, or its end was not seen.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let began = Instant::now();
        // A list that is wrong is told of before anything runs.
        let prices = match self.quiet || self.detach {
            true => None,
            false => prices::chosen(self.prices.as_deref(), paths)?,
        };
        let manifest = self.manifest()?;
        let mut made = self.put_on_record(paths, manifest)?;
        made.record.timings.push(timing("command", began.elapsed()));
        let ready = self.make_ready(paths, &mut made);
        if let Err(failure) = ready {
            // Nothing half-made stays: what could not be pulled or planned was never a Pod.
            let id = made.record.id.clone();
            let mut left = Vec::new();
            images::release(paths, &id, &mut left);
            pods::remove_held(paths, &id)?;
            return Err(failure);
        }
        let Made { record, lock, .. } = made;
        if let Some(file) = &self.pod_id_file {
            std::fs::write(file, record.id.as_str())
                .map_err(|e| Failure::own(format!("{}: {e}", file.display())))?;
        }
        let spawning = Instant::now();
        supervise::spawn(paths, &record.id, lock)?;
        let spawned = spawning.elapsed();
        let runtime = crate::runtime()?;
        if self.detach {
            return runtime.block_on(self.watch_start(paths, &record));
        }
        let result = runtime.block_on(self.follow(paths, &record, began, spawned, prices.as_ref()));
        // A thread that reads the terminal does not end by itself.
        runtime.shutdown_background();
        result
    }

    /// Reads the Pod file, or makes the Pod of the flags.
    fn manifest(&self) -> Result<Manifest, Failure> {
        let Some((target, command)) = self.args.split_first() else {
            return Err(Failure::own("nothing to run"));
        };
        let source = source(target)?;
        let (bytes, name) = match source {
            Source::Image(image) => return self.manifest_of_image(image, command),
            Source::File(path) => (
                crate::files::read_bounded(path, MAX_FILE)
                    .map_err(|e| Failure::own(format!("cannot read {target}: {e}")))?,
                target.as_str(),
            ),
            Source::Stdin => {
                if self.interactive {
                    return Err(Failure::own(
                        "-i: standard input is the Pod file already, with `run -`",
                    ));
                }
                let mut bytes = Vec::new();
                let stdin = std::io::stdin().lock();
                stdin.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
                if bytes.len() as u64 > MAX_FILE {
                    return Err(Failure::own("standard input is too large for a Pod file"));
                }
                (bytes, "standard input")
            }
        };
        if let Some(flag) = self.flags.given() {
            return Err(Failure::own(format!(
                "{flag} is for an image: with a Pod file, say it in the file"
            )));
        }
        if let Some(word) = command.first() {
            return Err(Failure::own(format!(
                "{word:?} after a Pod file: say in the file what its containers run"
            )));
        }
        Manifest::parse(&bytes, name).map_err(|error| lines(&error))
    }

    fn manifest_of_image(&self, image: &str, command: &[String]) -> Result<Manifest, Failure> {
        // An image's name is checked before anything else is done.
        skete_image::parse_reference(image).map_err(|e| image::failure(e.into()))?;
        let name = match &self.name {
            Some(name) => name.clone(),
            None => names::random(0)?,
        };
        let pod = self.flags.pod(&What {
            name: &name,
            image,
            command,
            tty: self.tty,
            stdin: self.interactive,
            pull_policy: match self.pull {
                Some(Policy::Always) => "Always",
                Some(Policy::Never) => "Never",
                Some(Policy::Missing) | None => "IfNotPresent",
            },
        })?;
        Manifest::new(&pod, "the command line").map_err(|error| lines(&error))
    }

    /// Puts the Pod on record, under a name that nobody has.
    fn put_on_record(&self, paths: &Paths, mut manifest: Manifest) -> Result<Made, Failure> {
        let target = self.args.first().map(String::as_str).unwrap_or_default();
        let from_image = target != "-" && !is_like_file(target);
        if let (Some(name), false) = (&self.name, from_image) {
            manifest.pod.metadata.name = Some(name.clone());
            manifest = Manifest::parse(manifest.to_json().to_string().as_bytes(), "--name")
                .map_err(|error| lines(&error))?;
        }
        let id = PodId::random()?;
        let uid = random_uuid()?;
        for tries in 1.. {
            let plan = prepare::plan(paths, &id, &uid, &manifest)?;
            self.check_fits(paths, &plan)?;
            let record = self.record(&id, &uid, &manifest, &plan);
            let input = self.input(&manifest, &plan);
            match pods::create(paths, &record, &serde_json::to_vec(&input)?) {
                Ok(lock) => {
                    return Ok(Made {
                        record,
                        input,
                        lock,
                        plan,
                    });
                }
                // A name that was drawn is drawn again.
                Err(PodsError::NameInUse { .. })
                    if from_image && self.name.is_none() && tries < 100 =>
                {
                    rename(&mut manifest, &names::random(tries)?);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::own("no name is free"))
    }

    /// What no VM of this machine can be is refused before there is a record of it.
    fn check_fits(&self, paths: &Paths, plan: &PodPlan) -> Result<(), Failure> {
        let said = plan.sandbox.annotations.get(annotations::HYPERVISOR);
        let wanted = self.hypervisor.as_ref().or(said).map(String::as_str);
        // The trial of KVM is remembered there.
        crate::files::make_private_dir(&paths.run_root)?;
        let qemu = Qemu::default();
        let cache = Some(paths.run_root.as_path());
        let accelerator = accelerator::choose(wanted, qemu.program(), cache)?;
        let memory_mib = plan.size.guest_memory_mib();
        Ok(check_fits(plan.size.vcpus, memory_mib, accelerator)?)
    }

    fn record(&self, id: &PodId, uid: &str, manifest: &Manifest, plan: &PodPlan) -> PodRecord {
        let metadata = &manifest.pod.metadata;
        PodRecord {
            schema: SCHEMA,
            id: id.clone(),
            uid: uid.to_owned(),
            name: metadata.name.clone().unwrap_or_default(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            created: Timestamp::now(),
            boot_id: boot_id(),
            labels: metadata.labels.clone().unwrap_or_default(),
            spec: serde_json::to_value(&manifest.pod.spec).unwrap_or_default(),
            remove: self.rm,
            size: Size {
                vcpus: plan.size.vcpus,
                memory_mib: plan.size.memory_mib,
            },
            accelerator: String::new(),
            phase: Phase::Pending,
            containers: plan.all_containers().map(container_record).collect(),
            network: NetworkRecord {
                ports: published(plan),
                ..NetworkRecord::default()
            },
            started: None,
            follower_pid: None,
            end: None,
            timings: Vec::new(),
        }
    }

    fn input(&self, manifest: &Manifest, plan: &PodPlan) -> Input {
        Input {
            manifest: manifest.to_json(),
            no_network: plan.network.as_deref() == Some("none"),
            first: if self.detach {
                First::Watcher
            } else {
                First::Attached
            },
            images: BTreeMap::new(),
            beginning: Beginning::default(),
            hypervisor: self.hypervisor.clone(),
        }
    }

    /// Pulls the images, and looks whether the Pod fits them.
    fn make_ready(&self, paths: &Paths, made: &mut Made) -> Result<(), Failure> {
        let Made {
            record,
            input,
            plan,
            ..
        } = made;
        let began = Instant::now();
        run_images::pull(paths, &record.id, plan, self.pull, self.quiet, input)?;
        record.timings.push(timing("images", began.elapsed()));
        for (container, shown) in plan.all_containers().zip(&mut record.containers) {
            let Some(image) = input.images.get(&container.image) else {
                continue;
            };
            // What does not fit is told now, and not by a VM that was started for nothing.
            let spec = container.spec(&skete_pod::ContainerInput {
                image: &image.config,
                image_name: &container.image,
                sandbox_id: record.id.as_str(),
                container_id: record.id.as_str(),
                sandbox_pid: 0,
                addresses: skete_pod::Addresses {
                    pod: &[],
                    host: &[],
                },
            })?;
            shown.image_id.clone_from(&image.id);
            let arguments = spec.process().as_ref().and_then(|p| p.args().clone());
            shown.command = typed(&arguments.unwrap_or_default());
        }
        record.save(paths)?;
        let input = serde_json::to_vec(input)?;
        crate::files::write_atomically(&paths.pod_input(&record.id), &input, 0o600)?;
        Ok(())
    }

    /// `-d`: waits until the first container runs.
    async fn watch_start(&self, paths: &Paths, record: &PodRecord) -> Result<u8, Failure> {
        let main = record.main_container().map(|c| c.name.clone());
        let control = Control::ask(paths, &record.id, Request::Watch).await?;
        let Some(mut control) = control else {
            return Err(Failure::own("the Pod's follower is gone"));
        };
        loop {
            match control.next().await? {
                Some(Event::ContainerStarted { container })
                    if Some(&container) == main.as_ref() =>
                {
                    break;
                }
                Some(Event::ContainerEnded {
                    container,
                    exit_code,
                    reason,
                    message,
                }) if Some(&container) == main.as_ref() && reason == "ContainerCannotRun" => {
                    let code = u8::try_from(exit_code).unwrap_or(OWN_ERROR);
                    return Err(Failure::new(code, message));
                }
                Some(Event::Ended {
                    exit_code, message, ..
                }) => {
                    if message.is_empty() {
                        break;
                    }
                    let code = u8::try_from(exit_code).unwrap_or(OWN_ERROR);
                    return Err(Failure::new(code, message));
                }
                Some(_) => {}
                None => return Err(Failure::own("the Pod's follower is gone")),
            }
        }
        output::print(&format!("{}\n", record.id))?;
        Ok(0)
    }

    async fn follow(
        &self,
        paths: &Paths,
        record: &PodRecord,
        began: Instant,
        spawned: Duration,
        prices: Option<&PriceList>,
    ) -> Result<u8, Failure> {
        let main = record.main_container();
        let stdin = main.filter(|c| c.stdin).map(|c| c.name.clone());
        let names: Vec<String> = if record.containers.len() > 1 {
            record.containers.iter().map(|c| c.name.clone()).collect()
        } else {
            Vec::new()
        };
        let attachment = Attachment {
            container: None,
            stdin,
            tty: main.filter(|c| c.tty).map(|c| c.name.clone()),
            names,
            proxy_signals: self.sig_proxy,
            stop_on_signal: self.sig_proxy,
        };
        let session = Session::connect(paths, &record.id, attachment).await?;
        match session.follow().await? {
            Outcome::Ended(ended) => self.conclude(paths, record, *ended, began, spawned, prices),
            Outcome::ContainerEnded(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
            Outcome::Detached => {
                crate::complain(&format!(
                    "detached: `skete attach {}` attaches again",
                    record.name
                ));
                Ok(0)
            }
            Outcome::Lost => {
                let work = crate::sweep::look(paths)?;
                for problem in crate::sweep::carry_out(paths, work).await {
                    crate::complain(&problem);
                }
                Err(Failure::new(
                    137,
                    format!("the follower of Pod {} was killed", record.name),
                ))
            }
        }
    }

    /// The Pod has ended: says what is to be said of it.
    fn conclude(
        &self,
        paths: &Paths,
        record: &PodRecord,
        ended: PodEnded,
        began: Instant,
        spawned: Duration,
        prices: Option<&PriceList>,
    ) -> Result<u8, Failure> {
        if self.timings {
            let mut timings = ended.timings;
            timings.push(timing("follower", spawned));
            for (what, when) in [
                ("from the command to a container", ended.first_running),
                ("from the command to output", ended.first_output),
            ] {
                timings.extend(when.map(|when| timing(what, when - began)));
            }
            show_timings(&timings);
        }
        if !self.quiet {
            self.receipt.show(paths, record, prices);
        }
        let code = u8::try_from(ended.exit_code).unwrap_or(u8::MAX);
        let known = [OWN_ERROR, CANNOT_EXECUTE, NOT_FOUND].contains(&code);
        if !ended.message.is_empty() {
            let message = if known {
                ended.message
            } else {
                format!("Pod {}: {}", record.name, ended.message)
            };
            return Err(Failure::new(code, message));
        }
        if !matches!(
            ended.reason.as_str(),
            "Completed" | "Error" | "Stopped" | "Killed"
        ) {
            let message = format!("Pod {}: {}", record.name, ended.reason);
            return Err(Failure::new(code, message));
        }
        Ok(code)
    }
}

fn is_like_file(target: &str) -> bool {
    let suffix = Path::new(target)
        .extension()
        .and_then(|suffix| suffix.to_str());
    matches!(suffix, Some("yaml" | "yml" | "json"))
        || ["/", "./", "../"]
            .iter()
            .any(|start| target.starts_with(start))
}

fn rename(manifest: &mut Manifest, name: &str) {
    let metadata = &mut manifest.pod.metadata;
    let before = metadata.name.replace(name.to_owned()).unwrap_or_default();
    let prefix = skete_pod::annotations::USER_PREFIX;
    if let Some(annotations) = &mut metadata.annotations
        && let Some(user) = annotations.remove(&format!("{prefix}{before}"))
    {
        annotations.insert(format!("{prefix}{name}"), user);
    }
    if let Some(spec) = &mut manifest.pod.spec
        && let Some(container) = spec.containers.first_mut()
    {
        container.name = name.to_owned();
    }
}

fn container_record(plan: &skete_pod::ContainerPlan) -> ContainerRecord {
    ContainerRecord {
        name: plan.name.clone(),
        init: plan.role != Role::Main,
        image: plan.image.clone(),
        image_id: String::new(),
        command: String::new(),
        state: ContainerPhase::Waiting,
        waiting: "PodInitializing".to_owned(),
        task_id: String::new(),
        pid: None,
        started: None,
        terminated: None,
        restarts: 0,
        tty: plan.tty,
        stdin: plan.stdin,
    }
}

fn published(plan: &PodPlan) -> Vec<PublishedPort> {
    let mappings = plan.sandbox.port_mappings.iter();
    mappings
        .filter(|port| port.host_port > 0)
        .map(|port| PublishedPort {
            host_ip: port.host_ip.clone(),
            host_port: u16::try_from(port.host_port).unwrap_or(0),
            container_port: u16::try_from(port.container_port).unwrap_or(0),
            protocol: match port.protocol.value() {
                1 => "UDP",
                2 => "SCTP",
                _ => "TCP",
            }
            .to_owned(),
        })
        .collect()
}

#[cfg(test)]
#[path = "run_test.rs"]
mod tests;
