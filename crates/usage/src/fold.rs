//! From a journal's records to a Pod's spans of time.
//!
//! The Pod's time begins with its first record, or with the download of its images if that was
//! before, and ends with its last one. A journal without an end counts up to whatever was written
//! last: never more than there was, and less by one heartbeat at most.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::mem::take;

use crate::pod_use::{Ended, PodUse, Size, Span, Used};
use crate::reader::{JournalError, Reader};
use crate::record::{Counters, Event, Opening};
use crate::totals::Totals;
use crate::window::Window;

/// An hour, in nanoseconds.
pub const HOUR_NS: i64 = 3_600_000_000_000;

/// Folds a journal into what was used within the window; `running` tells whether its writer is
/// alive. Windows that follow each other add up to the window that they make together.
///
/// # Errors
/// What is wrong with the journal: then nothing of it counts.
pub fn fold<R: BufRead>(
    mut reader: Reader<R>,
    window: Window,
    running: bool,
) -> Result<PodUse, JournalError> {
    let mut fold = Fold::new(&reader, window, 0);
    for record in &mut reader {
        let record = record?;
        fold.event(record.at.monotonic_ns, record.event);
    }
    Ok(fold.finish(running))
}

/// Folds a journal into what was used in each hour, counted from the Unix epoch: what [`fold`]
/// gives for a window of each hour, in one go.
///
/// # Errors
/// As [`fold`].
pub fn fold_hours<R: BufRead>(
    mut reader: Reader<R>,
) -> Result<BTreeMap<i64, Totals>, JournalError> {
    let mut hours: BTreeMap<i64, Totals> = BTreeMap::new();
    let mut fold = Fold::new(&reader, Window::ALL, HOUR_NS);
    for record in &mut reader {
        let record = record?;
        let now = fold.event(record.at.monotonic_ns, record.event);
        let counted = (
            take(&mut fold.container_starts),
            take(&mut fold.image_bytes),
        );
        if counted != (0, 0) {
            let hour = hours.entry(now.div_euclid(HOUR_NS)).or_default();
            hour.container_starts += counted.0;
            hour.image_bytes = hour.image_bytes.saturating_add(counted.1);
        }
    }
    for span in fold.finish(false).spans {
        let hour = span.start_ns.div_euclid(HOUR_NS);
        hours.entry(hour).or_default().add_span(&span);
    }
    Ok(hours)
}

/// What a span is made of, beside its time and use.
#[derive(Clone, Copy)]
struct Sizes {
    provisioned: Size,
    requested: Size,
    limits: Size,
}

struct Fold {
    opening: Opening,
    window: Window,
    /// Where zero of the monotonic clock lies, by the wall clock when the journal began.
    zero_ns: i64,
    /// Spans end at whole multiples of it, if it is not 0.
    cut_ns: i64,
    /// The last is still growing.
    spans: Vec<Span>,
    /// When the host's counters were read last, and what they said.
    sample: (i64, Counters),
    /// Index of the first span whose use since then is not known yet.
    unsettled: usize,
    container_starts: u64,
    image_bytes: u64,
    ended: bool,
}

impl Fold {
    fn new<R: BufRead>(reader: &Reader<R>, window: Window, cut_ns: i64) -> Self {
        let (opening, began) = (reader.opening().clone(), reader.began());
        // Both are bounded to 62 bits by the reader.
        let zero_ns = began.wall_ns - signed(began.monotonic_ns);
        let since = opening.since_ns.unwrap_or(began.monotonic_ns);
        let start_ns = zero_ns + signed(since);
        let first = Span {
            start_ns,
            end_ns: start_ns,
            provisioned: opening.provisioned,
            requested: opening.requested,
            limits: opening.limits,
            used: Used::default(),
        };
        let mut fold = Self {
            opening,
            window,
            zero_ns,
            cut_ns,
            spans: vec![first],
            sample: (start_ns, Counters::default()),
            unsettled: 0,
            container_starts: 0,
            image_bytes: 0,
            ended: false,
        };
        fold.extend(zero_ns + signed(began.monotonic_ns));
        fold
    }

    /// Takes a record in, and gives its place in time.
    fn event(&mut self, monotonic_ns: u64, event: Event) -> i64 {
        let now = self.zero_ns + signed(monotonic_ns);
        let sizes = self.extend(now);
        match event {
            Event::Provisioned(provisioned) => self.resize(Sizes {
                provisioned,
                ..sizes
            }),
            Event::Requested(requested) => self.resize(Sizes { requested, ..sizes }),
            Event::Limits(limits) => self.resize(Sizes { limits, ..sizes }),
            Event::Host(counters) => self.settle(now, counters),
            Event::Start(_) if self.window.contains(now) => self.container_starts += 1,
            Event::Image(bytes) if self.window.contains(now) => {
                self.image_bytes = self.image_bytes.saturating_add(bytes);
            }
            Event::End(_) => self.ended = true,
            _ => {}
        }
        now
    }

    /// Lets the last span reach until now, and cuts it where it is to be cut.
    fn extend(&mut self, now: i64) -> Sizes {
        loop {
            // There is one from the start.
            let last = self.spans.len() - 1;
            let span = &mut self.spans[last];
            let sizes = Sizes {
                provisioned: span.provisioned,
                requested: span.requested,
                limits: span.limits,
            };
            let edge = match self.cut_ns {
                0 => i64::MAX,
                cut => span
                    .start_ns
                    .div_euclid(cut)
                    .saturating_add(1)
                    .saturating_mul(cut),
            };
            span.end_ns = now.min(edge);
            if now <= edge {
                return sizes;
            }
            self.resize(sizes);
        }
    }

    /// Begins a span of another size where the last one ends.
    fn resize(&mut self, sizes: Sizes) {
        let last = self.spans.len() - 1;
        let Span { end_ns, .. } = self.spans[last];
        self.spans.push(Span {
            start_ns: end_ns,
            end_ns,
            provisioned: sizes.provisioned,
            requested: sizes.requested,
            limits: sizes.limits,
            used: Used::default(),
        });
    }

    /// Shares out what was used since the last sample among the spans since then, evenly over time.
    fn settle(&mut self, now: i64, counters: Counters) {
        let (then, before) = self.sample;
        if now == then {
            // No time to share it among: it is shared out with what is used next.
            self.sample.1.memory_bytes = counters.memory_bytes;
            return;
        }
        let after = not_less(counters, before);
        let rate = (u128::from(before.memory_bytes) + u128::from(after.memory_bytes)) / 2;
        let window = self.window;
        for span in &mut self.spans[self.unsettled..] {
            let from = span.start_ns.max(then).max(window.from_ns);
            let to = span.end_ns.min(window.to_ns);
            // Of what was used between the samples, how much until `at`: windows that follow each
            // other get the differences, and so lose nothing by rounding.
            let grown = |before: u64, after: u64| {
                let until = |at: i64| {
                    let part = u128::from(after - before) * length(then, at);
                    part / length(then, now)
                };
                match from < to {
                    true => u64::try_from(until(to) - until(from)).unwrap_or(u64::MAX),
                    false => 0,
                }
            };
            let used = &mut span.used;
            used.cpu_ns += grown(before.cpu_ns, after.cpu_ns);
            used.block_read_bytes += grown(before.block_read_bytes, after.block_read_bytes);
            used.block_written_bytes +=
                grown(before.block_written_bytes, after.block_written_bytes);
            used.network_received_bytes +=
                grown(before.network_received_bytes, after.network_received_bytes);
            used.network_sent_bytes += grown(before.network_sent_bytes, after.network_sent_bytes);
            let more = rate * length(from, to);
            used.memory_byte_ns = used.memory_byte_ns.saturating_add(more);
        }
        self.sample = (now, after);
        self.unsettled = self.spans.len() - 1;
    }

    fn finish(mut self, running: bool) -> PodUse {
        // After the last sample nothing is known to have been used but memory, which stays.
        let (_, last) = self.sample;
        let now = self.spans.last().map_or(0, |span| span.end_ns);
        self.settle(now, last);
        let window = self.window;
        let clipped = self.spans.into_iter().map(|span| Span {
            start_ns: span.start_ns.max(window.from_ns),
            end_ns: span.end_ns.min(window.to_ns),
            ..span
        });
        PodUse {
            pod: self.opening.pod,
            spans: clipped.filter(|span| span.start_ns < span.end_ns).collect(),
            container_starts: self.container_starts,
            image_bytes: self.image_bytes,
            ended: match (self.ended, running) {
                (true, _) => Ended::Seen,
                (false, true) => Ended::Running,
                (false, false) => Ended::Bounded,
            },
        }
    }
}

/// Nanoseconds from one moment to another; 0 if it is not later.
fn length(from: i64, to: i64) -> u128 {
    u128::try_from(i128::from(to) - i128::from(from)).unwrap_or(0)
}

/// The reader lets no clock of more than 62 bits pass.
fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// A counter that goes back is not believed.
fn not_less(now: Counters, before: Counters) -> Counters {
    Counters {
        cpu_ns: now.cpu_ns.max(before.cpu_ns),
        memory_bytes: now.memory_bytes,
        block_read_bytes: now.block_read_bytes.max(before.block_read_bytes),
        block_written_bytes: now.block_written_bytes.max(before.block_written_bytes),
        network_received_bytes: now
            .network_received_bytes
            .max(before.network_received_bytes),
        network_sent_bytes: now.network_sent_bytes.max(before.network_sent_bytes),
    }
}

#[cfg(test)]
#[path = "fold_test.rs"]
mod tests;
