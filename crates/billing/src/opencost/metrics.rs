//! Metrics in Prometheus' text format. Their number is bounded: by Namespace, not by Pod, unless asked.

use std::collections::BTreeMap;
use std::fmt::Write;

use num_rational::BigRational;
use skete_usage::{Ended, PodUse, Size, Totals};

use super::allocation::{Costs, machine_costs};
use super::{Known, Node};
use crate::charge::{Charges, Pricing, window_of};
use crate::money::{Money, short};
use crate::prices::Prices;
use skete_usage::Window;

/// Digits after the point at most.
const DIGITS: u32 = 18;
/// Most series of one metric; what is beyond is added up as `__other__`.
const MAX_SERIES: usize = 1000;
const HOUR_NS: u64 = 3_600_000_000_000;

/// Whose series there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// One for each Namespace.
    Namespace,
    /// One for each Pod, too.
    Pod,
}

/// What a Namespace's Pods came to since the journals begin.
#[derive(Default)]
struct Sum {
    charges: Charges,
    totals: Totals,
    running: u64,
    now: Size,
}

/// The metrics now.
#[must_use]
pub fn metrics(known: Known<'_>, detail: Detail) -> String {
    let mut text = String::new();
    node(&mut text, known);
    namespaces(&mut text, known);
    if detail == Detail::Pod {
        pods(&mut text, known.pods, known.node);
    }
    header(
        &mut text,
        "skete_unreadable_journals",
        "gauge",
        "Usage journals that cannot be read.",
    );
    let _ = writeln!(text, "skete_unreadable_journals {}", known.unreadable);
    text
}

fn header(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// What the machine costs in the hour that begins now.
fn node(text: &mut String, known: Known<'_>) {
    let hour = Window::of_length(known.now_ns, HOUR_NS);
    let in_an_hour = Known {
        now_ns: hour.to_ns,
        ..known
    };
    let Some((_, costs)) = machine_costs(in_an_hour, hour) else {
        return;
    };
    let size = known.node.size;
    let per = |cost: &Money, amount: u64, unit: u64| {
        cost * BigRational::new(unit.into(), amount.max(1).into())
    };
    let gauges = [
        (
            "node_cpu_hourly_cost",
            "Cost of a vCPU of the node for an hour.",
            per(&costs.cpu, size.milli_vcpus, 1000),
        ),
        (
            "node_ram_hourly_cost",
            "Cost of a GiB of the node's memory for an hour.",
            per(&costs.ram, size.memory_bytes, 1 << 30),
        ),
        (
            "node_total_hourly_cost",
            "Cost of the node for an hour.",
            costs.total(),
        ),
    ];
    let name = escaped(&known.node.name);
    for (metric, help, value) in gauges {
        header(text, metric, "gauge", help);
        let value = short(&value, DIGITS);
        let _ = writeln!(
            text,
            "{metric}{{instance=\"{name}\",node=\"{name}\"}} {value}"
        );
    }
}

fn namespaces(text: &mut String, known: Known<'_>) {
    let pricing = Pricing::new(known.list, window_of(known.list, known.pods));
    let mut all = Charges::default();
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    let mut uncharged = 0u64;
    for used in known.pods {
        let namespace = used.pod.namespace.as_str();
        let full = sums.len() >= MAX_SERIES && !sums.contains_key(namespace);
        let sum = sums
            .entry(if full { "__other__" } else { namespace })
            .or_default();
        sum.totals.add(used);
        if let Some(size) = running(used) {
            sum.running += 1;
            sum.now.milli_vcpus = sum.now.milli_vcpus.saturating_add(size.milli_vcpus);
            sum.now.memory_bytes = sum.now.memory_bytes.saturating_add(size.memory_bytes);
        }
        let charged = pricing.charge(used).ok();
        let added = charged.and_then(|charges| {
            sum.charges.add(&charges)?;
            all.add(&charges)
        });
        uncharged += u64::from(added.is_none());
    }
    let prices = Prices::settle(&pricing, &all);
    let currency = known.list.currency.code();
    header(
        text,
        "skete_cost_total",
        "counter",
        "What the Pods of a Namespace cost since the journals begin.",
    );
    for (namespace, sum) in &sums {
        let cost = short(&Costs::of(&prices, &sum.charges).total(), DIGITS);
        let namespace = escaped(namespace);
        let _ = writeln!(
            text,
            "skete_cost_total{{namespace=\"{namespace}\",currency=\"{currency}\"}} {cost}"
        );
    }
    type Value = fn(&Sum) -> BigRational;
    let series: [(&str, &str, &str, Value); 7] = [
        (
            "skete_vcpu_seconds_total",
            "counter",
            "vCPU-seconds that Pods were given.",
            |s| quotient(s.totals.provisioned.milli_vcpu_ns, 1_000_000_000_000),
        ),
        (
            "skete_memory_byte_seconds_total",
            "counter",
            "Byte-seconds of memory that Pods were given.",
            |s| quotient(s.totals.provisioned.memory_byte_ns, 1_000_000_000),
        ),
        (
            "skete_vcpu_used_seconds_total",
            "counter",
            "Seconds of CPU time that Pods used.",
            |s| quotient(s.totals.used.cpu_ns.into(), 1_000_000_000),
        ),
        ("skete_pods_running", "gauge", "Pods that run.", |s| {
            quotient(s.running.into(), 1)
        }),
        (
            "skete_vcpus_running",
            "gauge",
            "vCPUs of Pods that run.",
            |s| quotient(s.now.milli_vcpus.into(), 1000),
        ),
        (
            "skete_memory_bytes_running",
            "gauge",
            "Bytes of memory of Pods that run.",
            |s| quotient(s.now.memory_bytes.into(), 1),
        ),
        (
            "skete_container_starts_total",
            "counter",
            "How often a container was started.",
            |s| quotient(s.totals.container_starts.into(), 1),
        ),
    ];
    for (metric, kind, help, value) in series {
        header(text, metric, kind, help);
        for (namespace, sum) in &sums {
            let value = short(&value(sum), DIGITS);
            let _ = writeln!(
                text,
                "{metric}{{namespace=\"{}\"}} {value}",
                escaped(namespace)
            );
        }
    }
    header(
        text,
        "skete_uncharged_pods",
        "gauge",
        "Pods that the price list cannot charge.",
    );
    let _ = writeln!(text, "skete_uncharged_pods {uncharged}");
}

fn quotient(number: u128, unit: u128) -> BigRational {
    BigRational::new(number.into(), unit.into())
}

/// What each Pod has that runs. OpenCost tells it by container; a Pod's VM is one thing.
fn pods(text: &mut String, pods: &[PodUse], node: &Node) {
    let running: Vec<_> = pods
        .iter()
        .filter_map(|used| Some((used, running(used)?)))
        .take(MAX_SERIES)
        .collect();
    type Value = fn(&Size) -> BigRational;
    let series: [(&str, &str, Value); 2] = [
        ("container_cpu_allocation", "vCPUs of a Pod.", |size| {
            quotient(size.milli_vcpus.into(), 1000)
        }),
        (
            "container_memory_allocation_bytes",
            "Bytes of memory of a Pod.",
            |size| quotient(size.memory_bytes.into(), 1),
        ),
    ];
    for (metric, help, value) in series {
        header(text, metric, "gauge", help);
        for (used, size) in &running {
            let pod = &used.pod;
            let labels = [
                ("namespace", &pod.namespace),
                ("pod", &pod.name),
                ("uid", &pod.uid),
                ("node", &pod.node),
                ("instance", &node.name),
            ];
            let labels = labels.map(|(key, value)| format!("{key}=\"{}\"", escaped(value)));
            let value = short(&value(size), DIGITS);
            let _ = writeln!(
                text,
                "{metric}{{container=\"\",{}}} {value}",
                labels.join(",")
            );
        }
    }
}

/// What a Pod has now, if it runs.
fn running(used: &PodUse) -> Option<Size> {
    let last = used.spans.last()?;
    (used.ended == Ended::Running).then_some(last.provisioned)
}

/// The value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
