//! What the engine writes into its Pod's usage journal, and when. The Pod goes on if the journal
//! cannot be written any more: its time then counts up to the last record.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use skete_cri_api::annotations;
use skete_cri_api::cpu_period_us;
use skete_cri_api::runtime::PodSandboxConfig;
use skete_network::Traffic;
use skete_usage::{
    Beginning, Clock, Controller, Counters, EndReason, Event, Guest, Opening, Pod, Size,
    SystemClock, WriteError, Writer, boot_id,
};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::description::architecture;
use crate::error::EngineError;
use crate::layout::Layout;
use crate::policy::Policy;
use crate::sandbox::Sandbox;
use crate::size;

/// Time between two looks at the host's counters.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Time between two questions to the guest.
const GUEST_PERIOD: Duration = Duration::from_secs(60);
/// Labels of the kubelet's own, which say what the journal says elsewhere.
const KUBELET_LABELS: &str = "io.kubernetes.";
/// The shares of CPU time that a cgroup has when nothing is requested.
const MIN_SHARES: i64 = 2;

/// Keeps the Pod's usage journal.
pub(crate) struct Meter {
    journal: Mutex<Journal>,
    on_disk: tokio::sync::Mutex<Option<JoinHandle<Result<(), WriteError>>>>,
}

struct Journal {
    /// None once the last record is written.
    writer: Option<Writer>,
    provisioned: Size,
    limits: Size,
    /// What was seen last of what is gone when the VM is.
    last: Counters,
    traffic: Option<Traffic>,
    /// Whether the last record could not be written: that is said once.
    failing: bool,
    closing: Option<thread::JoinHandle<()>>,
}

impl Meter {
    /// Opens the journal of a Pod that is about to be made.
    ///
    /// # Errors
    /// If it cannot be written: a Pod that is not metered is not started.
    pub(crate) fn open(
        layout: &Layout,
        config: &PodSandboxConfig,
        policy: &Policy,
        size: &size::Size,
        overhead_mib: u64,
    ) -> Result<Self, EngineError> {
        let now = SystemClock.now().monotonic_ns;
        let beginning = beginning(config)?;
        let opening = Opening {
            pod: pod(config, policy),
            sandbox: layout.id().to_owned(),
            boot: boot_id(),
            // Nothing begins in the future.
            since_ns: beginning.since_ns.filter(|since| *since <= now),
            provisioned: Size {
                milli_vcpus: u64::from(size.vcpus) * 1000,
                memory_bytes: size.memory_mib << 20,
                storage_bytes: size.scratch_bytes,
                gpus: 0,
            },
            requested: requested(config, beginning.requested),
            limits: limits(config),
            overhead: Size {
                memory_bytes: overhead_mib << 20,
                ..Size::default()
            },
        };
        let (provisioned, limits) = (opening.provisioned, opening.limits);
        let journals = layout.journals();
        let place = journals.place(&opening.boot, layout.namespace(), layout.id(), now);
        let mut writer = Writer::create(&place, opening, SystemClock)?;
        if beginning.image_bytes > 0 {
            writer.write(Event::Image(beginning.image_bytes))?;
        }
        // Disks take their time, and there is other work before the VM starts.
        let pending = writer.pending()?;
        let on_disk = tokio::task::spawn_blocking(|| pending.sync());
        Ok(Self {
            journal: Mutex::new(Journal {
                writer: Some(writer),
                provisioned,
                limits,
                last: Counters::default(),
                traffic: None,
                failing: false,
                closing: None,
            }),
            on_disk: tokio::sync::Mutex::new(Some(on_disk)),
        })
    }

    /// Waits until the Pod's beginning survives a loss of power.
    ///
    /// # Errors
    /// If the disk refuses.
    pub(crate) async fn on_disk(&self) -> Result<(), EngineError> {
        match self.on_disk.lock().await.take() {
            // It is not aborted, and does not panic.
            Some(sync) => Ok(sync.await.unwrap_or(Ok(()))?),
            None => Ok(()),
        }
    }

    /// Begins to count what passes through the Pod's interfaces.
    pub(crate) fn count(&self, traffic: Option<Traffic>) {
        self.lock().traffic = traffic;
    }

    /// Writes what has happened.
    pub(crate) fn tell(&self, event: Event) {
        self.lock().tell(event);
    }

    /// Writes what the host has counted, while the VM's monitor is that process.
    pub(crate) fn look(&self, cpu_ns: u64, monitor: u32) {
        let mut journal = self.lock();
        if journal.writer.is_none() {
            return;
        }
        let (block_read_bytes, block_written_bytes) = disk_bytes(monitor);
        let passed = journal.traffic.as_ref().map(Traffic::read);
        let passed = passed.and_then(Result::ok).unwrap_or_default();
        let last = journal.last;
        journal.last = Counters {
            cpu_ns: cpu_ns.max(last.cpu_ns),
            memory_bytes: guest_memory_bytes(monitor).unwrap_or(last.memory_bytes),
            block_read_bytes: block_read_bytes.max(last.block_read_bytes),
            block_written_bytes: block_written_bytes.max(last.block_written_bytes),
            network_received_bytes: passed.received_bytes.max(last.network_received_bytes),
            network_sent_bytes: passed.sent_bytes.max(last.network_sent_bytes),
        };
        let seen = Event::Host(journal.last);
        journal.tell(seen);
    }

    /// Writes what the Pod has from now on, if that is something else.
    pub(crate) fn resized(&self, memory_mib: u64, cpu: Option<u64>, memory: Option<u64>) {
        let mut journal = self.lock();
        let provisioned = Size {
            memory_bytes: memory_mib << 20,
            ..journal.provisioned
        };
        let limits = Size {
            milli_vcpus: cpu.unwrap_or(0),
            memory_bytes: memory.unwrap_or(0),
            ..journal.limits
        };
        if journal.provisioned != provisioned {
            journal.provisioned = provisioned;
            journal.tell(Event::Provisioned(provisioned));
        }
        if journal.limits != limits {
            journal.limits = limits;
            journal.tell(Event::Limits(limits));
        }
    }

    /// Writes the last record, if that was not done: the VM is gone. What it has used is counted
    /// once more, as far as the host still knows.
    pub(crate) fn end(&self, cpu_ns: u64, reason: EndReason) {
        let mut journal = self.lock();
        journal.last.cpu_ns = journal.last.cpu_ns.max(cpu_ns);
        let seen = Event::Host(journal.last);
        journal.tell(seen);
        journal.tell(Event::End(reason));
        let Some(mut writer) = journal.writer.take() else {
            return;
        };
        journal.traffic = None;
        journal.closing = Some(thread::spawn(move || {
            // Readers may see its end now; a loss of power until then makes it an end not seen.
            if let Err(error) = writer.pending().and_then(|pending| pending.sync()) {
                tracing::warn!(error = EngineError::from(error).chain(), "end");
            }
        }));
    }

    /// Waits until the last record survives a loss of power.
    pub(crate) fn close(&self) {
        let closing = self.lock().closing.take();
        if let Some(closing) = closing {
            let _ = closing.join();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    fn tell(&mut self, event: Event) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        let failed = writer.write(event).err();
        let failing = failed.is_some();
        if let (Some(error), false) = (failed, self.failing) {
            let error = EngineError::from(error).chain();
            tracing::error!(error, "what the Pod uses is not written down");
        }
        self.failing = failing;
    }
}

impl Sandbox {
    /// Looks at the host's counters now.
    pub(crate) fn look(&self) {
        self.meter.look(self.cpu_ns(), self.pid());
    }

    /// Looks at the host's counters again and again, until the sandbox ends.
    pub(crate) async fn meter_host(self: Arc<Self>) {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.wait() => return,
                _ = heartbeat.tick() => self.look(),
            }
        }
    }

    /// Asks the guest what it uses, again and again, until the sandbox ends.
    pub(crate) async fn meter_guest(self: Arc<Self>) {
        loop {
            tokio::select! {
                _ = self.wait() => return,
                () = tokio::time::sleep(GUEST_PERIOD) => {}
            }
            let Ok(stats) = self.stats(Vec::new()).await else {
                continue;
            };
            let usage = stats.sandbox.unwrap_or_default();
            self.meter.tell(Event::Guest(Guest {
                cpu_ns: usage.cpu_usage_ns,
                memory_bytes: usage.memory_bytes,
                working_set_bytes: usage.memory_working_set_bytes,
            }));
        }
    }
}

/// What was before the sandbox. The node's policy lets no Pod of the kubelet say it.
fn beginning(config: &PodSandboxConfig) -> Result<Beginning, EngineError> {
    let Some(text) = config.annotations.get(annotations::USAGE) else {
        return Ok(Beginning::default());
    };
    serde_json::from_str(text).map_err(|error| {
        let annotation = annotations::USAGE;
        EngineError::InvalidArgument(format!("annotation {annotation}: {error}"))
    })
}

fn pod(config: &PodSandboxConfig, policy: &Policy) -> Pod {
    let name = config.metadata.name.clone();
    let own = |(key, value): (&String, &String)| {
        let own = !key.starts_with(KUBELET_LABELS);
        own.then(|| (key.clone(), value.clone()))
    };
    let labels: BTreeMap<_, _> = config.labels.iter().filter_map(own).collect();
    Pod {
        uid: config.metadata.uid.clone(),
        controller: Controller::of_labels(&name, &labels),
        name,
        namespace: config.metadata.namespace.clone(),
        namespace_uid: None,
        labels,
        node: policy.node_name.clone().unwrap_or_else(host_name),
        architecture: architecture().to_owned(),
        runtime: "skete".to_owned(),
        annotations: policy.usage_annotations.clone(),
    }
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// The request of CPU is in the shares, which the kubelet rounds down.
fn requested(config: &PodSandboxConfig, told: Size) -> Size {
    let shares = config.linux.resources.cpu_shares;
    let milli = match u64::try_from(shares) {
        Ok(shares) if shares > MIN_SHARES.unsigned_abs() => {
            shares.saturating_mul(1000).div_ceil(1024)
        }
        _ => 0,
    };
    Size {
        milli_vcpus: told.milli_vcpus.max(milli),
        ..told
    }
}

fn limits(config: &PodSandboxConfig) -> Size {
    let resources = &config.linux.resources;
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    let period = positive(cpu_period_us(config)).max(1);
    let storage = config.annotations.get(annotations::EPHEMERAL_STORAGE);
    Size {
        milli_vcpus: positive(resources.cpu_quota).saturating_mul(1000) / period,
        memory_bytes: positive(resources.memory_limit_in_bytes),
        storage_bytes: storage.and_then(|text| text.parse().ok()).unwrap_or(0),
        gpus: 0,
    }
}

/// The guest's memory that the host holds now: a monitor's shared memory is its guest's, and nothing
/// else of it is (proc_pid_status(5)). `None` if the monitor is gone.
fn guest_memory_bytes(monitor: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{monitor}/status")).ok()?;
    let field = text.lines().find_map(|line| line.strip_prefix("RssShmem:"));
    let kib: u64 = field?.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// What a process has read from disks and written to them, by proc_pid_io(5); zeros if it is gone.
fn disk_bytes(process: u32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
    let field = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    (
        field("read_bytes:").unwrap_or(0),
        field("write_bytes:").unwrap_or(0),
    )
}

#[cfg(test)]
#[path = "meter_test.rs"]
mod tests;
