//! Pods and lists for tests.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::BigRational;
use skete_usage::{Controller, Ended, Pod, PodUse, Size, Span, Used, Window};

use crate::{Charges, Money, PriceList, Prices, Pricing, Tally, Tenant};

/// Nanoseconds of a second.
pub(crate) const SECOND: i64 = 1_000_000_000;
/// 2026-11-01T00:00:00Z.
pub(crate) const NOVEMBER: i64 = 1_793_491_200 * SECOND;

/// A Pod of this UID.
pub(crate) fn pod(uid: &str) -> Pod {
    Pod {
        uid: uid.to_owned(),
        name: format!("pod-{uid}"),
        namespace: "team-a".to_owned(),
        namespace_uid: Some("ns-1".to_owned()),
        labels: BTreeMap::new(),
        controller: None,
        node: "node-1".to_owned(),
        architecture: "amd64".to_owned(),
        runtime: "skete".to_owned(),
        annotations: BTreeMap::new(),
    }
}

/// A size of vCPUs in thousandths and memory in MiB.
pub(crate) fn size(milli_vcpus: u64, memory_mib: u64) -> Size {
    Size {
        milli_vcpus,
        memory_bytes: memory_mib << 20,
        ..Size::default()
    }
}

/// A span of a size that was provisioned and requested, with nothing used.
pub(crate) fn span(start_ns: i64, length_ns: i64, size: Size) -> Span {
    Span {
        start_ns,
        end_ns: start_ns + length_ns,
        provisioned: size,
        requested: size,
        limits: size,
        used: Used::default(),
    }
}

/// A Pod that has ended, of these spans.
pub(crate) fn pod_use(uid: &str, spans: Vec<Span>) -> PodUse {
    PodUse {
        pod: pod(uid),
        spans,
        container_starts: 1,
        image_bytes: 0,
        ended: Ended::Seen,
    }
}

/// A list that comes with Skete.
pub(crate) fn shipped(name: &str) -> PriceList {
    let (name, text) = PriceList::shipped().find(|(n, _)| *n == name).unwrap();
    PriceList::parse(text, name).unwrap()
}

/// A list out of text.
pub(crate) fn list(text: &str) -> PriceList {
    PriceList::parse(text, "test.toml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// From the beginning of November 2026 for so many seconds.
pub(crate) fn window(seconds: i64) -> Window {
    Window::new(NOVEMBER, NOVEMBER + seconds * SECOND).unwrap()
}

/// What one Pod costs in a window, as a bill of its own.
pub(crate) fn cost(list: &PriceList, pod_use: &PodUse, window: Window) -> Money {
    let pricing = Pricing::new(list, window);
    let charges: Charges = pricing.charge(pod_use).unwrap();
    Prices::settle(&pricing, &charges).total(&charges)
}

/// A bill of several Pods: the tally of a tenant in a window.
pub(crate) fn tally<'a>(pricing: &'a Pricing<'a>, tenant: &str, pods: &[PodUse]) -> Tally<'a> {
    let mut tally = Tally::new(pricing, Tenant::new(tenant));
    for pod_use in pods {
        tally.add(pod_use).unwrap();
    }
    tally
}

/// Pods of November, of all lengths: some reach over its ends.
pub(crate) fn a_months_pods(count: u64) -> Vec<PodUse> {
    let mut random = Random(11);
    let mut pods = Vec::new();
    for index in 0..count {
        let start = NOVEMBER - 3600 * SECOND + random.below(30 * 86_400).cast_signed() * SECOND;
        let start = start + random.below(1_000_000_000).cast_signed();
        let longest = (200_000 * 1_000_000_000) >> random.below(20);
        let length = random.below(longest);
        let size = size(random.below(4000), random.below(8192));
        let mut run = pod_use(
            &index.to_string(),
            vec![span(start, length.cast_signed(), size)],
        );
        run.pod
            .labels
            .insert("app".to_owned(), "a, \"b\"".to_owned());
        if index % 3 > 0 {
            run.pod.controller = Some(Controller {
                kind: "Job".to_owned(),
                name: format!("job-{}", index % 7),
            });
        }
        if index % 10 == 0 {
            run.pod.architecture = "arm64".to_owned();
        }
        pods.push(run);
    }
    pods
}

/// A fraction of a decimal number.
pub(crate) fn money(text: &str) -> BigRational {
    let number: crate::Decimal = text.parse().unwrap();
    BigRational::new(
        BigInt::from(number.units()),
        BigInt::from(crate::decimal::ONE),
    )
}

/// Random numbers that a seed repeats: SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than the bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// One of them.
    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }
}
