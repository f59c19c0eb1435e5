//! From a Pod's use to quantities, each with the rate and the discount that it is charged by.
//!
//! A Pod's charge is an integral over time. A window cuts it anywhere, and the parts sum to the
//! whole: every quantity is a whole number, and what falls on a part of a span is the difference of
//! two values of one rounded-down function of time.

use std::borrow::Cow;

use jiff::Timestamp;
use skete_usage::{Ended, Pod, PodUse, Size, Span, Used, Window};
use thiserror::Error;

use crate::list::PriceList;
use crate::rules::{Basis, Discount, Meter, Rate};
use crate::size::NoConfiguration;
use crate::timeline::{Segment, segments};

/// Meters that run while a span does; the others count once.
const RUNNING: usize = 6;

/// A Pod that cannot be charged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChargeError {
    /// What is told of its time cannot be.
    #[error("Pod {pod}: its spans of time overlap, or end before they begin")]
    Spans {
        /// Which.
        pod: String,
    },
    /// The price list says nothing of a time in which it was there.
    #[error("Pod {pod}: price list {list:?} has no prices for {moment}")]
    NoPrices {
        /// Which.
        pod: String,
        /// The list.
        list: String,
        /// A moment without prices.
        moment: Timestamp,
    },
    /// No size of the price list holds it.
    #[error("Pod {pod}: price list {list:?}")]
    Size {
        /// Which.
        pod: String,
        /// The list.
        list: String,
        /// Its size.
        #[source]
        source: NoConfiguration,
    },
    /// No whole number of 128 bits holds a quantity.
    #[error("Pod {pod}: its use is larger than any machine's")]
    TooLarge {
        /// Which.
        pod: String,
    },
}

/// What a quantity is charged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The period of the price list.
    pub period: usize,
    /// The rate in the period.
    pub rate: usize,
    /// The discount, where one holds.
    pub discount: Option<usize>,
}

/// Quantities by line, in base units ([`Rate::unit_size`]). They add up in any order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Charges(Vec<(Line, u128)>);

impl Charges {
    /// Each line that has a quantity, in the order of the price list.
    pub fn iter(&self) -> impl Iterator<Item = (Line, u128)> + '_ {
        self.0.iter().copied()
    }

    /// The quantity of one line.
    #[must_use]
    pub fn quantity(&self, line: Line) -> u128 {
        let found = self.0.binary_search_by_key(&line, |(line, _)| *line);
        found.map_or(0, |at| self.0[at].1)
    }

    /// Adds another's quantities. `None`, and some are added, if a sum needs more than 128 bits.
    #[must_use]
    pub fn add(&mut self, other: &Self) -> Option<()> {
        other
            .iter()
            .try_for_each(|(line, quantity)| self.put(line, quantity))
    }

    /// So many times these quantities; `None` if one needs more than 128 bits.
    #[must_use]
    pub fn times(&self, count: u64) -> Option<Self> {
        let times = |(line, quantity): (Line, u128)| {
            quantity
                .checked_mul(count.into())
                .map(|product| (line, product))
        };
        self.iter().map(times).collect::<Option<_>>().map(Self)
    }

    #[must_use]
    pub(crate) fn put(&mut self, line: Line, quantity: u128) -> Option<()> {
        if quantity == 0 {
            return Some(());
        }
        match self.0.binary_search_by_key(&line, |(line, _)| *line) {
            Ok(at) => self.0[at].1 = self.0[at].1.checked_add(quantity)?,
            Err(at) => self.0.insert(at, (line, quantity)),
        }
        Some(())
    }
}

/// A window that holds all for which these Pods are charged, and little more: a list is made ready for
/// it much sooner than for all time.
#[must_use]
pub fn window_of<'a>(list: &PriceList, pods: impl IntoIterator<Item = &'a PodUse>) -> Window {
    let spans = pods.into_iter().flat_map(|used| &used.spans);
    let bounds = spans.map(|span| (span.start_ns, span.end_ns));
    let bounds = bounds.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    let (from_ns, to_ns) = bounds.unwrap_or_default();
    // What is charged once is charged at the beginning, even of a Pod that had no time.
    let to_ns = to_ns.saturating_add(list.reach_ns()).saturating_add(1);
    Window { from_ns, to_ns }
}

/// A price list made ready for a window.
#[derive(Debug)]
pub struct Pricing<'a> {
    list: Cow<'a, PriceList>,
    window: Window,
    segments: Vec<Segment>,
}

impl<'a> Pricing<'a> {
    /// Makes a list ready.
    #[must_use]
    pub fn new(list: &'a PriceList, window: Window) -> Self {
        Self {
            list: Cow::Borrowed(list),
            window,
            segments: segments(list, window),
        }
    }

    /// The same for what Pods had, not rounded to what is charged.
    pub(crate) fn unrounded(&self) -> Pricing<'static> {
        Pricing {
            list: Cow::Owned(self.list.unrounded()),
            window: self.window,
            segments: self.segments.clone(),
        }
    }

    /// The list.
    #[must_use]
    pub fn list(&self) -> &PriceList {
        &self.list
    }

    /// The window.
    #[must_use]
    pub fn window(&self) -> Window {
        self.window
    }

    /// The rate of a line.
    #[must_use]
    pub fn rate(&self, line: Line) -> &Rate {
        &self.list.periods[line.period].rates[line.rate]
    }

    /// The discount of a line.
    #[must_use]
    pub fn discount(&self, line: Line) -> Option<&Discount> {
        line.discount.map(|index| &self.list.discounts[index])
    }

    /// What a Pod is charged for in the window.
    ///
    /// # Errors
    /// [`ChargeError`], which names the Pod.
    pub fn charge(&self, pod_use: &PodUse) -> Result<Charges, ChargeError> {
        self.charge_within(pod_use, self.window)
    }

    /// What a Pod is charged for in a part of the window; the parts of a window sum to the whole.
    ///
    /// # Errors
    /// As for [`charge`](Self::charge).
    pub fn charge_within(&self, pod_use: &PodUse, part: Window) -> Result<Charges, ChargeError> {
        let mut charges = Charges::default();
        let Some(window) = self.window.intersect(part) else {
            return Ok(charges);
        };
        check_spans(pod_use)?;
        let mut matched = Matched::new(&self.list, &pod_use.pod);
        let added = added_span(&self.list, pod_use)?;
        for span in pod_use.spans.iter().chain(&added) {
            self.charge_span(pod_use, span, window, &mut matched, &mut charges)?;
        }
        if let Some(first) = pod_use.spans.first()
            && window.contains(first.start_ns)
        {
            let segment = self.segment_at(first.start_ns);
            let once = [
                (Meter::Pod, 1),
                (Meter::ContainerStart, pod_use.container_starts),
                (Meter::Image, pod_use.image_bytes),
            ];
            for (meter, count) in once {
                let line = matched.line(meter, segment, &pod_use.pod)?;
                if let Some((line, _)) = line {
                    charges
                        .put(line, u128::from(count))
                        .ok_or_else(|| too_large(&pod_use.pod))?;
                }
            }
        }
        Ok(charges)
    }

    fn charge_span(
        &self,
        pod_use: &PodUse,
        span: &Span,
        window: Window,
        matched: &mut Matched<'_>,
        charges: &mut Charges,
    ) -> Result<(), ChargeError> {
        let pod = &pod_use.pod;
        let whole = Window::new(span.start_ns, span.end_ns).ok();
        let Some(clipped) = whole.and_then(|whole| whole.intersect(window)) else {
            return Ok(());
        };
        let length = distance(span.start_ns, span.end_ns);
        let totals = self.totals(pod, span, length)?;
        let from = self
            .segments
            .partition_point(|s| s.window.to_ns <= clipped.from_ns);
        for segment in &self.segments[from..] {
            let Some(part) = segment.window.intersect(clipped) else {
                break;
            };
            let from = distance(span.start_ns, part.from_ns);
            let until = distance(span.start_ns, part.to_ns);
            for (meter, total) in Meter::ALL.into_iter().zip(totals) {
                if total == 0 {
                    continue;
                }
                let Some((line, included)) = matched.line(meter, segment, pod)? else {
                    continue;
                };
                let charged = total.saturating_sub(u128::from(included).saturating_mul(length));
                let quantity = share(charged, until, length) - share(charged, from, length);
                charges.put(line, quantity).ok_or_else(|| too_large(pod))?;
            }
        }
        Ok(())
    }

    /// What a span comes to, by meter, in base units.
    fn totals(&self, pod: &Pod, span: &Span, length: u128) -> Result<[u128; RUNNING], ChargeError> {
        let times = |size: Size| {
            [
                size.milli_vcpus,
                size.memory_bytes,
                size.storage_bytes,
                size.gpus,
            ]
            // Each has 64 bits, and the length too.
            .map(|amount| u128::from(amount) * length)
        };
        let charged = |size| {
            self.list
                .size
                .charged(size)
                .map_err(|source| ChargeError::Size {
                    pod: told(pod),
                    list: self.list.name.clone(),
                    source,
                })
        };
        let used = [
            u128::from(span.used.cpu_ns) * 1000,
            span.used.memory_byte_ns,
            0,
            0,
        ];
        let [vcpu, memory, storage, gpu] = match self.list.size.basis {
            Basis::Provisioned => times(charged(span.provisioned)?),
            Basis::Requested => times(charged(asked(span))?),
            Basis::Used => used,
            Basis::Max => {
                let [vcpu, memory, storage, gpu] = times(asked(span));
                [vcpu.max(used[0]), memory.max(used[1]), storage, gpu]
            }
        };
        let network = [
            span.used.network_received_bytes,
            span.used.network_sent_bytes,
        ]
        .map(u128::from);
        Ok([vcpu, memory, storage, gpu, network[0], network[1]])
    }

    fn segment_at(&self, ns: i64) -> &Segment {
        let at = self.segments.partition_point(|s| s.window.to_ns <= ns);
        &self.segments[at]
    }
}

/// The rates and discounts of one Pod, found once.
struct Matched<'a> {
    list: &'a PriceList,
    /// The discounts that are for the Pod, by their bits.
    discounts: u64,
    period: Option<usize>,
    rates: [Option<usize>; Meter::ALL.len()],
}

impl<'a> Matched<'a> {
    fn new(list: &'a PriceList, pod: &Pod) -> Self {
        let mut discounts = 0;
        for (bit, discount) in list.discounts.iter().enumerate() {
            discounts |= u64::from(discount.selector.holds(pod)) << bit;
        }
        Self {
            list,
            discounts,
            period: None,
            rates: [None; Meter::ALL.len()],
        }
    }

    /// The line of a meter in a segment, and what of it is included; `None` if it costs nothing.
    fn line(
        &mut self,
        meter: Meter,
        segment: &Segment,
        pod: &Pod,
    ) -> Result<Option<(Line, u64)>, ChargeError> {
        let Some(period) = segment.period else {
            let ns = segment.window.from_ns;
            return Err(ChargeError::NoPrices {
                pod: told(pod),
                list: self.list.name.clone(),
                moment: Timestamp::from_nanosecond(ns.into()).unwrap_or(Timestamp::MIN),
            });
        };
        let rates = &self.list.periods[period].rates;
        if self.period != Some(period) {
            self.period = Some(period);
            self.rates = Meter::ALL.map(|meter| {
                rates
                    .iter()
                    .position(|rate| rate.meter == meter && rate.selector.holds(pod))
            });
        }
        let Some(rate) = self.rates[meter as usize] else {
            return Ok(None);
        };
        let mut holding = self.discounts & segment.discounts;
        let mut discount = None;
        while holding != 0 {
            let first = holding.trailing_zeros() as usize;
            if self.list.discounts[first].is_for(meter) {
                discount = Some(first);
                break;
            }
            holding &= holding - 1;
        }
        let line = Line {
            period,
            rate,
            discount,
        };
        Ok(Some((line, rates[rate].included_units())))
    }
}

/// The time that a Pod is charged for beyond its last span, as though the span had gone on: to the
/// next step of the clock, or to the minimum. A Pod that still runs has none yet.
fn added_span(list: &PriceList, pod_use: &PodUse) -> Result<Option<Span>, ChargeError> {
    let Some(last) = pod_use
        .spans
        .last()
        .filter(|_| pod_use.ended != Ended::Running)
    else {
        return Ok(None);
    };
    let lived: u128 = pod_use
        .spans
        .iter()
        .map(|span| distance(span.start_ns, span.end_ns))
        .sum();
    let [step, minimum] =
        [list.clock.step, list.clock.minimum].map(|length| u128::from(length.ns.unsigned_abs()));
    let charged = lived.next_multiple_of(step.max(1)).max(minimum);
    let end_ns = i64::try_from(charged - lived)
        .ok()
        .and_then(|added| last.end_ns.checked_add(added))
        .ok_or_else(|| too_large(&pod_use.pod))?;
    Ok(Some(Span {
        start_ns: last.end_ns,
        end_ns,
        used: Used::default(),
        ..*last
    }))
}

/// From the first to the last moment of a window in which a Pod is charged for something; `None` if
/// there is none.
pub(crate) fn billed_bounds(
    list: &PriceList,
    pod_use: &PodUse,
    window: Window,
) -> Result<Option<Window>, ChargeError> {
    check_spans(pod_use)?;
    let added = added_span(list, pod_use)?;
    let spans = pod_use.spans.iter().chain(&added);
    let first = pod_use.spans.first().map(|first| first.start_ns);
    // What is charged once is charged at the beginning, even of a Pod that had no time.
    let once = first.map(|start_ns| Window::of_length(start_ns, 1));
    let parts = spans.filter_map(|span| Window::new(span.start_ns, span.end_ns).ok());
    let parts = parts.chain(once).filter_map(|part| part.intersect(window));
    Ok(parts.reduce(|a, b| {
        let start_ns = a.from_ns.min(b.from_ns);
        let end_ns = a.to_ns.max(b.to_ns);
        Window::of_length(start_ns, end_ns.abs_diff(start_ns))
    }))
}

fn check_spans(pod_use: &PodUse) -> Result<(), ChargeError> {
    let forward = pod_use
        .spans
        .iter()
        .all(|span| span.start_ns <= span.end_ns);
    let mut pairs = pod_use.spans.windows(2);
    if forward && pairs.all(|pair| pair[0].end_ns <= pair[1].start_ns) {
        return Ok(());
    }
    Err(ChargeError::Spans {
        pod: told(&pod_use.pod),
    })
}

/// What a Pod asks for. As in Kubernetes, a limit is a request where there is no other; the kubelet
/// tells a runtime nothing of requests of memory.
fn asked(span: &Span) -> Size {
    let or = |request: u64, limit: u64| if request == 0 { limit } else { request };
    let (requested, limits) = (&span.requested, &span.limits);
    Size {
        milli_vcpus: or(requested.milli_vcpus, limits.milli_vcpus),
        memory_bytes: or(requested.memory_bytes, limits.memory_bytes),
        storage_bytes: or(requested.storage_bytes, limits.storage_bytes),
        gpus: or(requested.gpus, limits.gpus),
    }
}

/// Nanoseconds from one moment to a later one.
pub(crate) fn distance(from: i64, until: i64) -> u128 {
    u128::from(until.abs_diff(from))
}

/// `total × time ÷ length`, rounded down, without a product that is too large: both times have 64
/// bits.
pub(crate) fn share(total: u128, time: u128, length: u128) -> u128 {
    if time == length {
        return total;
    }
    (total / length) * time + (total % length) * time / length
}

fn too_large(pod: &Pod) -> ChargeError {
    ChargeError::TooLarge { pod: told(pod) }
}

fn told(pod: &Pod) -> String {
    format!("{}/{} ({})", pod.namespace, pod.name, pod.uid)
}

#[cfg(test)]
#[path = "charge_test.rs"]
mod tests;

#[cfg(test)]
#[path = "charge_oracle_test.rs"]
mod oracle;
