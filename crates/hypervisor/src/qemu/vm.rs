//! A QEMU process that runs, until it ends.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::command::{DiskNode, MORE_MEMORY};
use super::descriptor;
use crate::config::MEMORY_BLOCK_MIB;
use crate::console::Tail;
use crate::qmp::{Event, Qmp, QmpError};
use crate::{Disk, Error, ExitReason, Vm, VmExit, process};

/// How long QEMU may take for a command. It does each in milliseconds, when it gets to run.
const COMMAND_LIMIT: Duration = Duration::from_secs(15);

/// How long a guest may take to let go of a disk.
const DETACH_LIMIT: Duration = Duration::from_secs(10);

/// How long a guest may take to use memory that was plugged in.
const PLUG_LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked at meanwhile.
const PLUG_POLL: Duration = Duration::from_millis(5);

/// How long what an ended process wrote last is read for.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// What a VM is put together from.
pub(super) struct Parts {
    pub(super) child: Child,
    pub(super) pidfd: OwnedFd,
    /// When it began.
    pub(super) began: Instant,
    pub(super) control: UnixStream,
    pub(super) readers: Vec<JoinHandle<()>>,
    /// What QEMU writes to its standard error.
    pub(super) words: Tail,
    /// What the guest writes to its console.
    pub(super) output: Tail,
    pub(super) run_dir: PathBuf,
    /// The disks that are there from the start: serials, and descriptors where they have one.
    pub(super) disks: HashMap<String, Option<PathBuf>>,
    /// How long QEMU may take until it answers for the first time.
    pub(super) limit: Duration,
    pub(super) memory: Memory,
}

/// The memory that a VM started with and may come to have, in MiB.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) base_mib: u64,
    pub(super) more_mib: u64,
}

/// What was heard of the VM so far.
#[derive(Default)]
struct Heard {
    shutdown: Option<String>,
    panicked: bool,
    killed: bool,
    deleted: HashSet<String>,
}

#[derive(Default)]
struct Ear {
    heard: Mutex<Heard>,
    changed: Notify,
}

impl Ear {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, event: &Event) {
        let text = |key: &str| {
            event
                .data
                .get(key)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        match event.name.as_str() {
            "SHUTDOWN" => self.lock().shutdown = text("reason"),
            "GUEST_PANICKED" => self.lock().panicked = true,
            // A guest can let go of a device without being asked, so only those of disks count,
            // of which there are few.
            "DEVICE_DELETED" => match text("device") {
                Some(device) if device.starts_with("disk-") => {
                    self.lock().deleted.insert(device);
                }
                _ => return,
            },
            _ => return,
        }
        self.changed.notify_waiters();
    }

    /// Waits until the guest has let go of a device.
    async fn deleted(&self, device: &str) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.lock().deleted.remove(device) {
                return;
            }
            changed.await;
        }
    }
}

/// A running QEMU.
pub(super) struct QemuVm {
    pid: u32,
    began: Instant,
    pidfd: Arc<AsyncFd<OwnedFd>>,
    qmp: Qmp,
    ear: Arc<Ear>,
    exit: watch::Receiver<Option<VmExit>>,
    run_dir: PathBuf,
    disks: tokio::sync::Mutex<HashMap<String, Option<PathBuf>>>,
    memory: Memory,
}

impl QemuVm {
    /// Takes over a process that was just started, and waits until it answers.
    pub(super) async fn adopt(parts: Parts) -> Result<QemuVm, Error> {
        let Parts {
            mut child,
            pidfd,
            began,
            control,
            mut readers,
            words,
            output,
            run_dir,
            disks,
            limit,
            memory,
        } = parts;
        let pid = child.id();
        let pidfd = match process::watch(pidfd) {
            Ok(pidfd) => Arc::new(pidfd),
            Err(source) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Error::Host {
                    what: "watch a process",
                    source,
                });
            }
        };
        let ear = Arc::new(Ear::default());
        let (sender, exit) = watch::channel(None);
        let listener = Arc::clone(&ear);
        let connected = Qmp::connect(control, limit, move |event| listener.hear(&event)).await;
        let (qmp, failure) = match connected {
            Ok((qmp, reader)) => {
                readers.push(reader);
                (Some(qmp), None)
            }
            Err(error) => {
                process::kill(pidfd.get_ref());
                (None, Some(error))
            }
        };
        let watcher = Watcher {
            child,
            pidfd: Arc::clone(&pidfd),
            ear: Arc::clone(&ear),
            readers,
            words: words.clone(),
            output,
        };
        let watched = tokio::spawn(watcher.watch(sender));
        if let Some(qmp) = qmp {
            let disks = tokio::sync::Mutex::new(disks);
            return Ok(QemuVm {
                pid,
                began,
                pidfd,
                qmp,
                ear,
                exit,
                run_dir,
                disks,
                memory,
            });
        }
        // The watcher cannot panic; should it, the words below are all there is.
        let _ = watched.await;
        let said = complaint(&words);
        let why = match (said, failure) {
            (Some(said), _) => said,
            (None, Some(QmpError::Timeout(limit))) => {
                format!("its monitor did not answer within {} s", limit.as_secs())
            }
            (None, _) => "its monitor ended without a word".to_owned(),
        };
        Err(Error::Start(why))
    }

    async fn command(&self, what: &'static str, name: &str, arguments: Value) -> Result<(), Error> {
        self.query(what, name, arguments).await.map(drop)
    }

    async fn query(
        &self,
        what: &'static str,
        name: &str,
        arguments: Value,
    ) -> Result<Value, Error> {
        match self.qmp.execute(name, arguments, COMMAND_LIMIT).await {
            Ok(answer) => Ok(answer),
            Err(QmpError::Closed | QmpError::Io(_)) => {
                // The end of the process follows the end of the connection.
                let ended = timeout(DRAIN_LIMIT, self.wait()).await;
                match ended {
                    Ok(exit) => Err(Error::Ended(exit.to_string())),
                    Err(_) => Err(Error::Monitor {
                        what,
                        source: QmpError::Closed,
                    }),
                }
            }
            Err(source) => Err(Error::Monitor { what, source }),
        }
    }
}

#[async_trait]
impl Vm for QemuVm {
    fn pid(&self) -> u32 {
        self.pid
    }

    fn began(&self) -> Instant {
        self.began
    }

    async fn attach_disk(&self, disk: &Disk) -> Result<(), Error> {
        disk.check()?;
        let mut disks = self.disks.lock().await;
        if disks.contains_key(&disk.serial) {
            return Err(Error::DiskExists(disk.serial.clone()));
        }
        let descriptor = descriptor(&self.run_dir, disk)?;
        let node = DiskNode::new(disk, descriptor.as_deref());
        let attached = async {
            self.command("open a disk", "blockdev-add", node.blockdev())
                .await?;
            let plugged = self
                .command("attach a disk", "device_add", node.device())
                .await;
            if plugged.is_err() {
                let arguments = json!({ "node-name": node.name });
                // What counts is why the device was refused.
                let _ = self
                    .command("close a disk", "blockdev-del", arguments)
                    .await;
            }
            plugged
        };
        match attached.await {
            Ok(()) => {
                disks.insert(disk.serial.clone(), descriptor);
                Ok(())
            }
            Err(error) => {
                remove(descriptor);
                Err(match error {
                    Error::Monitor {
                        source: QmpError::Refused(why),
                        ..
                    } if why.contains("no slot/function available") => Error::NoSlot,
                    error => error,
                })
            }
        }
    }

    async fn detach_disk(&self, serial: &str) -> Result<(), Error> {
        let mut disks = self.disks.lock().await;
        if !disks.contains_key(serial) {
            return Err(Error::NoDisk(serial.to_owned()));
        }
        let name = format!("disk-{serial}");
        // A guest may have let go by itself, so only what it says from now on counts, except that
        // QEMU then knows the device no more.
        let asked = self
            .command("detach a disk", "device_del", json!({ "id": name }))
            .await;
        match asked {
            Ok(()) => {
                let limit = DETACH_LIMIT;
                let serial = serial.to_owned();
                timeout(limit, self.ear.deleted(&name))
                    .await
                    .map_err(|_| Error::DetachTimeout { serial, limit })?;
            }
            Err(Error::Monitor {
                source: QmpError::Refused(_),
                ..
            }) if self.ear.lock().deleted.remove(&name) => {}
            Err(error) => return Err(error),
        }
        self.command("close a disk", "blockdev-del", json!({ "node-name": name }))
            .await?;
        remove(disks.remove(serial).flatten());
        Ok(())
    }

    async fn set_memory(&self, mib: u64) -> Result<(), Error> {
        const WHAT: &str = "change the memory";
        let Memory { base_mib, more_mib } = self.memory;
        let wanted_mib = mib
            .saturating_sub(base_mib)
            .next_multiple_of(MEMORY_BLOCK_MIB);
        if wanted_mib > more_mib {
            return Err(Error::MemoryFixed {
                asked: mib,
                most: base_mib + more_mib,
            });
        }
        // What is below the first memory, the guest gives back into its balloon.
        let value = mib.min(base_mib) << 20;
        self.command(WHAT, "balloon", json!({ "value": value }))
            .await?;
        if more_mib == 0 {
            return Ok(());
        }
        let path = format!("/machine/peripheral/{MORE_MEMORY}");
        let wanted = wanted_mib << 20;
        let property = |name: &str| json!({ "path": path, "property": name });
        let mut request = property("requested-size");
        request["value"] = json!(wanted);
        self.command(WHAT, "qom-set", request).await?;
        let plugged = async {
            loop {
                let size = self.query(WHAT, "qom-get", property("size")).await?;
                if size.as_u64().is_some_and(|size| size >= wanted) {
                    return Ok(());
                }
                tokio::time::sleep(PLUG_POLL).await;
            }
        };
        timeout(PLUG_LIMIT, plugged)
            .await
            .unwrap_or(Err(Error::MemoryNotTaken { asked: mib }))
    }

    async fn pause(&self) -> Result<(), Error> {
        self.command("pause", "stop", json!({})).await
    }

    async fn resume(&self) -> Result<(), Error> {
        self.command("resume", "cont", json!({})).await
    }

    async fn stop(&self, grace: Duration) -> VmExit {
        let graceful = async {
            // A paused guest would not feel the button.
            self.resume().await?;
            self.command("press the power button", "system_powerdown", json!({}))
                .await?;
            Ok::<_, Error>(self.wait().await)
        };
        match timeout(grace, graceful).await {
            Ok(Ok(exit)) => exit,
            // Not in time, or not to be talked to.
            Ok(Err(_)) | Err(_) => self.kill().await,
        }
    }

    async fn kill(&self) -> VmExit {
        if self.exit.borrow().is_none() {
            self.ear.lock().killed = true;
            process::kill(self.pidfd.get_ref());
        }
        self.wait().await
    }

    async fn wait(&self) -> VmExit {
        let mut exit = self.exit.clone();
        let ended = exit.wait_for(Option::is_some).await;
        // The watcher sends before it ends, so the channel does not close without a value, except
        // when the runtime itself is shut down.
        let gone = || VmExit {
            reason: ExitReason::Crashed("is no longer watched".to_owned()),
            last_line: None,
        };
        ended
            .ok()
            .and_then(|exit| exit.clone())
            .unwrap_or_else(gone)
    }
}

impl Drop for QemuVm {
    fn drop(&mut self) {
        process::kill(self.pidfd.get_ref());
        for descriptor in self.disks.get_mut().drain() {
            remove(descriptor.1);
        }
    }
}

fn remove(descriptor: Option<PathBuf>) {
    if let Some(path) = descriptor
        && let Err(error) = std::fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "a disk descriptor is left behind");
    }
}

/// Waits for the process, and tells how it ended.
struct Watcher {
    child: Child,
    pidfd: Arc<AsyncFd<OwnedFd>>,
    ear: Arc<Ear>,
    readers: Vec<JoinHandle<()>>,
    words: Tail,
    output: Tail,
}

impl Watcher {
    async fn watch(mut self, sender: watch::Sender<Option<VmExit>>) {
        // Readable means ended (pidfd_open(2)); an error leaves the waiting to `Child::wait`.
        if let Err(error) = self.pidfd.readable().await {
            tracing::warn!(%error, "a process is waited for without its descriptor");
        }
        let status = self.child.wait();
        let drained = async {
            for reader in &mut self.readers {
                // A reader that panicked has nothing more to tell.
                let _ = reader.await;
            }
        };
        // Something else may hold the other end still, so not for ever.
        if timeout(DRAIN_LIMIT, drained).await.is_err() {
            self.readers.iter().for_each(JoinHandle::abort);
        }
        sender.send_replace(Some(self.verdict(status)));
    }

    fn verdict(&self, status: io::Result<ExitStatus>) -> VmExit {
        let heard = self.ear.lock();
        let reason = match heard.shutdown.as_deref() {
            _ if heard.panicked => ExitReason::Panicked,
            Some("guest-panic") => ExitReason::Panicked,
            Some("guest-shutdown") => ExitReason::PoweredOff,
            Some("guest-reset") => ExitReason::Reset,
            _ if heard.killed => ExitReason::Killed,
            _ => {
                let how = match status {
                    Ok(status) => process::describe(status),
                    Err(error) => format!("ended, and its status is unknown: {error}"),
                };
                ExitReason::Crashed(match complaint(&self.words) {
                    Some(said) => format!("{how}: {said}"),
                    None => how,
                })
            }
        };
        let telling = !matches!(reason, ExitReason::PoweredOff | ExitReason::Killed);
        VmExit {
            reason,
            last_line: telling.then(|| last_words(&self.output)).flatten(),
        }
    }
}

/// What QEMU complained of: its first line that is not a mere warning, without its own name.
fn complaint(words: &Tail) -> Option<String> {
    let lines = words.lines();
    let warning = |line: &&String| !line.contains("warning:");
    let line = lines.iter().find(warning).or(lines.first())?;
    let said = line.strip_prefix("qemu-system-x86_64: ").unwrap_or(line);
    Some(said.to_owned())
}

/// What a guest said last: why its kernel panicked, if it did.
fn last_words(output: &Tail) -> Option<String> {
    let lines = output.lines();
    lines
        .iter()
        .find(|line| line.contains("Kernel panic"))
        .or(lines.last())
        .cloned()
}
