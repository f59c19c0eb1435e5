//! A Pod's life on simulated clocks, and what it comes to by the plainest reckoning.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use skete_usage::{
    Amounts, Clock, Counters, EndReason, Event, Guest, JournalError, Moment, Opening, Pod, PodUse,
    Reader, Size, Totals, Window, Writer, fold,
};

const SECOND: u64 = 1_000_000_000;
/// Two records are no further from each other, but for the time in which the machine sleeps.
pub(crate) const HEARTBEAT: u64 = 10 * SECOND;

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

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Clocks that are set from outside.
#[derive(Clone)]
struct Simulated(Rc<Cell<Moment>>);

impl Clock for Simulated {
    fn now(&self) -> Moment {
        self.0.get()
    }
}

/// What was true when a record had been written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Truth {
    /// Bytes of the journal.
    pub(crate) length: u64,
    /// Nanoseconds since the Pod's beginning.
    pub(crate) time_ns: u64,
    /// Of them, those in which the machine slept just before this record.
    pub(crate) asleep_ns: u64,
    pub(crate) provisioned: Amounts,
    pub(crate) requested: Amounts,
    /// Of the host's counters, those of the latest record that has them.
    pub(crate) counters: Counters,
    pub(crate) starts: u64,
    pub(crate) image_bytes: u64,
}

/// A Pod's whole life.
pub(crate) struct Life {
    pub(crate) bytes: Vec<u8>,
    /// After each record, from the first.
    pub(crate) truths: Vec<Truth>,
    /// Where it began, by the wall clock as it was then.
    pub(crate) start_ns: i64,
}

struct World {
    random: Random,
    clock: Simulated,
    truth: Truth,
    provisioned: Size,
    requested: Size,
    counters: Counters,
}

impl World {
    /// Lets time pass, at most a heartbeat, or one and a sleep.
    fn pass(&mut self) {
        let random = &mut self.random;
        let awake = 1 + match random.below(4) {
            0 => random.below(1000),
            _ => random.below(HEARTBEAT - 1),
        };
        let asleep = match random.one_in(30) {
            true => random.below(8 * 3600 * SECOND),
            false => 0,
        };
        let passed = awake + asleep;
        // A leap second is smeared over a day, and slewing is as much again.
        let smeared = passed as i64 / 86_400 * (random.below(3) as i64 - 1);
        let jump = match random.one_in(20) {
            true => random.below(7200 * SECOND) as i64 - 3600 * SECOND as i64,
            false => 0,
        };
        let mut now = self.clock.0.get();
        now.monotonic_ns += passed;
        now.wall_ns += passed as i64 + smeared + jump;
        self.clock.0.set(now);

        self.truth.time_ns += passed;
        self.truth.asleep_ns = asleep;
        grow(&mut self.truth.provisioned, &self.provisioned, passed);
        grow(&mut self.truth.requested, &self.requested, passed);
        let counters = &mut self.counters;
        counters.cpu_ns += random.below(4 * awake);
        counters.memory_bytes = random.below(1 << 40);
        counters.block_read_bytes += random.below(1 << 30);
        counters.block_written_bytes += random.below(1 << 30);
        counters.network_received_bytes += random.below(1 << 30);
        counters.network_sent_bytes += random.below(1 << 30);
    }

    fn size(&mut self) -> Size {
        Size {
            milli_vcpus: self.random.below(64_000),
            memory_bytes: self.random.below(1 << 40),
            storage_bytes: self.random.below(1 << 44),
            gpus: self.random.below(8),
        }
    }

    fn event(&mut self) -> Event {
        let id = || "c0ffee".to_owned();
        match self.random.below(12) {
            0 => {
                self.provisioned = self.size();
                Event::Provisioned(self.provisioned)
            }
            1 => {
                self.requested = self.size();
                Event::Requested(self.requested)
            }
            2 => Event::Limits(self.size()),
            3 => {
                self.truth.starts += 1;
                Event::Start(id())
            }
            4 => Event::Exit(id(), self.random.below(256) as u32),
            5 => Event::Pause(id()),
            6 => Event::Guest(Guest::default()),
            7 => {
                let bytes = self.random.below(1 << 40);
                self.truth.image_bytes += bytes;
                Event::Image(bytes)
            }
            _ => {
                self.truth.counters = self.counters;
                Event::Host(self.counters)
            }
        }
    }
}

fn grow(sum: &mut Amounts, size: &Size, time_ns: u64) {
    let product = |amount: u64| u128::from(amount) * u128::from(time_ns);
    sum.milli_vcpu_ns += product(size.milli_vcpus);
    sum.memory_byte_ns += product(size.memory_bytes);
    sum.storage_byte_ns += product(size.storage_bytes);
    sum.gpu_ns += product(size.gpus);
}

impl Life {
    /// Draws a life, and has the real writer write it below `dir`.
    pub(crate) fn draw(seed: u64, dir: &Path) -> Self {
        let mut random = Random(seed);
        let since = random.below(1 << 50);
        // A machine may believe that it is 1970 when its first Pod begins.
        let wall = match random.one_in(20) {
            true => since as i64,
            false => 1_764_000_000 * SECOND as i64 + random.below(1 << 55) as i64,
        };
        let start = Moment {
            monotonic_ns: since,
            wall_ns: wall,
        };
        let mut world = World {
            random,
            clock: Simulated(Rc::new(Cell::new(start))),
            truth: Truth {
                length: 0,
                time_ns: 0,
                asleep_ns: 0,
                provisioned: Amounts::default(),
                requested: Amounts::default(),
                counters: Counters::default(),
                starts: 0,
                image_bytes: 0,
            },
            provisioned: Size::default(),
            requested: Size::default(),
            counters: Counters::default(),
        };
        world.provisioned = world.size();
        world.requested = world.size();
        let pulled = world.random.one_in(2);
        if pulled {
            world.pass();
        }
        let path = dir.join("life.journal");
        let opening = Opening {
            since_ns: pulled.then_some(since),
            ..opening(world.provisioned, world.requested)
        };
        let began = world.clock.now();
        let mut writer = Writer::create(&path, opening, world.clock.clone()).unwrap();
        let mut truths = Vec::new();
        let mut note = |world: &World, length| {
            truths.push(Truth {
                length,
                ..world.truth
            });
        };
        note(&world, writer.length());
        for _ in 0..world.random.below(40) {
            world.pass();
            let event = world.event();
            writer.write(event).unwrap();
            note(&world, writer.length());
        }
        if world.random.one_in(2) {
            world.pass();
            writer.write(Event::End(EndReason::Stopped)).unwrap();
            note(&world, writer.length());
        }
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let pulling = began.monotonic_ns - since;
        Self {
            bytes,
            truths,
            start_ns: began.wall_ns - if pulled { pulling as i64 } else { 0 },
        }
    }
}

fn opening(provisioned: Size, requested: Size) -> Opening {
    Opening {
        pod: Pod {
            uid: "u".into(),
            name: "pod".into(),
            namespace: "default".into(),
            namespace_uid: None,
            labels: Default::default(),
            controller: None,
            node: "node".into(),
            architecture: "amd64".into(),
            runtime: "skete".into(),
            annotations: Default::default(),
        },
        sandbox: "sandbox".into(),
        boot: "boot".into(),
        since_ns: None,
        provisioned,
        requested,
        limits: Size::default(),
        overhead: Size::default(),
    }
}

/// What a journal comes to.
pub(crate) fn folded(bytes: &[u8], window: Window) -> Result<PodUse, JournalError> {
    fold(Reader::new(bytes)?, window, false)
}

/// Its sums.
pub(crate) fn totals(used: &PodUse) -> Totals {
    let mut totals = Totals::default();
    totals.add(used);
    totals
}

/// The journal comes to what was true, to the last nanosecond and byte.
#[track_caller]
pub(crate) fn assert_true(used: &PodUse, truth: &Truth, start_ns: i64, told: &str) {
    let totals = totals(used);
    assert_eq!(totals.time_ns, u128::from(truth.time_ns), "{told}");
    assert_eq!(totals.provisioned, truth.provisioned, "{told}");
    assert_eq!(totals.requested, truth.requested, "{told}");
    let (used_in, counted) = (totals.used, truth.counters);
    assert_eq!(used_in.cpu_ns, counted.cpu_ns, "{told}");
    for (used, counted) in [
        (used_in.block_read_bytes, counted.block_read_bytes),
        (used_in.block_written_bytes, counted.block_written_bytes),
        (
            used_in.network_received_bytes,
            counted.network_received_bytes,
        ),
        (used_in.network_sent_bytes, counted.network_sent_bytes),
    ] {
        assert_eq!(used, counted, "{told}");
    }
    assert_eq!(used.container_starts, truth.starts, "{told}");
    assert_eq!(used.image_bytes, truth.image_bytes, "{told}");
    if let Some(first) = used.spans.first() {
        assert_eq!(first.start_ns, start_ns, "{told}");
    }
    let follow = |pair: &[skete_usage::Span]| pair[0].end_ns == pair[1].start_ns;
    assert!(used.spans.windows(2).all(follow), "{told}: {used:?}");
}
