//! A machine whose Pods are simulated, and whose journals are real.

use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;

use skete_usage::{
    Clock, Counters, Directory, EndReason, Event, HOUR_NS, Moment, Opening, Pod, Size, Totals,
    Window, Writer,
};
use tempfile::TempDir;

use crate::{ALL_HOURS, Ledger, Quantities};

pub(crate) const BOOT: &str = "8c7d";
pub(crate) const SECOND: i64 = 1_000_000_000;
/// The hour in which the machine's first Pod begins.
pub(crate) const HOUR: i64 = 490_000;

/// SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// Clocks that are set from outside: seconds since [`HOUR`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Seconds(pub(crate) Rc<Cell<i64>>);

impl Clock for Seconds {
    fn now(&self) -> Moment {
        let ns = self.0.get() * SECOND + 17;
        Moment {
            monotonic_ns: ns as u64,
            wall_ns: HOUR * HOUR_NS + ns,
        }
    }
}

pub(crate) struct Machine {
    pub(crate) state: PathBuf,
    pub(crate) journals: Directory,
    pub(crate) clock: Seconds,
    _dir: Option<TempDir>,
}

impl Machine {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Self::at(dir.path().to_owned());
        machine._dir = Some(dir);
        machine
    }

    pub(crate) fn at(state: PathBuf) -> Self {
        Self {
            journals: Directory::below(&state),
            state,
            clock: Seconds::default(),
            _dir: None,
        }
    }

    pub(crate) fn ledger_path(&self) -> PathBuf {
        self.state.join("usage/ledger.db")
    }

    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::create(&self.ledger_path()).unwrap()
    }

    /// Begins a Pod of this UID, with one sandbox of this id. Its Namespace is what stands before
    /// the UID's hyphen.
    pub(crate) fn begin(&self, uid: &str, sandbox: &str) -> Writer<Seconds> {
        let opening = opening(uid, sandbox);
        let monotonic = self.clock.now().monotonic_ns;
        let place = self.journals.place(BOOT, "skete", sandbox, monotonic);
        Writer::create(&place, opening, self.clock.clone()).unwrap()
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.0.set(self.clock.0.get() + seconds);
    }

    /// Heartbeats, each ten seconds after the one before.
    pub(crate) fn beat(&self, writer: &mut Writer<Seconds>, times: u64) {
        for _ in 0..times {
            self.pass(10);
            let at = self.clock.0.get() as u64;
            let heartbeat = Counters {
                cpu_ns: at * 7_777_777,
                memory_bytes: (at % 97) << 20,
                network_sent_bytes: at * 31,
                ..Counters::default()
            };
            writer.write(Event::Host(heartbeat)).unwrap();
        }
    }

    /// A whole life of so many heartbeats.
    pub(crate) fn live(&self, uid: &str, sandbox: &str, times: u64) {
        let mut writer = self.begin(uid, sandbox);
        writer.write(Event::Image(12_345)).unwrap();
        writer.write(Event::Start("app".into())).unwrap();
        self.beat(&mut writer, times);
        self.pass(3);
        writer.write(Event::End(EndReason::Ended)).unwrap();
    }

    /// What all journals come to, without a ledger.
    pub(crate) fn truth(&self) -> Quantities {
        let mut totals = Totals::default();
        for journal in self.journals.all().unwrap() {
            totals.add(&journal.fold(Window::ALL).unwrap().unwrap());
        }
        (&totals).into()
    }
}

pub(crate) fn opening(uid: &str, sandbox: &str) -> Opening {
    Opening {
        pod: Pod {
            uid: uid.into(),
            name: format!("pod-{uid}"),
            namespace: uid.split('-').next().unwrap_or_default().into(),
            namespace_uid: None,
            labels: [("app".to_owned(), "web".to_owned())].into(),
            controller: None,
            node: "node".into(),
            architecture: "amd64".into(),
            runtime: "skete".into(),
            annotations: Default::default(),
        },
        sandbox: sandbox.into(),
        boot: BOOT.into(),
        since_ns: None,
        provisioned: Size {
            milli_vcpus: 1500,
            memory_bytes: 3 << 30,
            storage_bytes: 10 << 30,
            gpus: 1,
        },
        requested: Size {
            milli_vcpus: 1000,
            memory_bytes: 2 << 30,
            ..Size::default()
        },
        limits: Size::default(),
        overhead: Size::default(),
    }
}

/// What all Namespaces come to in the ledger's sums.
pub(crate) fn counted(ledger: &Ledger) -> Quantities {
    let mut sum = Quantities::default();
    for of in ledger.namespaces(ALL_HOURS).unwrap() {
        sum.add(&of.quantities);
    }
    sum
}

/// The ledger is what was written, and the machine's journals come to what it says.
#[track_caller]
pub(crate) fn assert_true(machine: &Machine, ledger: &Ledger) {
    assert_eq!(counted(ledger), machine.truth());
    assert_verified(ledger);
}

#[track_caller]
pub(crate) fn assert_verified(ledger: &Ledger) {
    let mut findings = Vec::new();
    ledger
        .verify(None, |finding| findings.push(finding))
        .unwrap();
    assert_eq!(findings, []);
}

/// An error and its sources, as a command tells them.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", told(source)),
        None => error.to_string(),
    }
}
