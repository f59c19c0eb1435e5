//! Answers as OpenCost writes them. Numbers are decimal numbers, not rounded to five digits.

use std::collections::BTreeMap;

use num_rational::BigRational;
use num_traits::Zero;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::Known;
use super::allocation::{Allocation, Allocations, machine_costs};
use super::query::Query;
use crate::invoice::timestamp;
use crate::money::{Money, short};
use skete_usage::Window;

/// Digits after the point at most.
const DIGITS: u32 = 18;
/// Warnings that are told.
const WARNINGS: usize = 5;
/// Nanoseconds of an hour.
const HOUR: u128 = 3_600_000_000_000;

/// A number, written out.
struct Exact(BigRational);

impl Exact {
    fn of(number: u128, unit: u128) -> Self {
        Self(BigRational::new(number.into(), unit.into()))
    }

    fn zero() -> Self {
        Self(BigRational::zero())
    }
}

impl From<&Money> for Exact {
    fn from(money: &Money) -> Self {
        Self(money.clone())
    }
}

impl Serialize for Exact {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(short(&self.0, DIGITS))
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[derive(Serialize)]
struct Answer<T> {
    code: u16,
    status: &'static str,
    data: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

#[derive(Serialize)]
struct Error<'a> {
    code: u16,
    message: &'a str,
}

#[derive(Serialize)]
struct Bounds {
    start: String,
    end: String,
}

impl From<Window> for Bounds {
    fn from(window: Window) -> Self {
        Self {
            start: timestamp(window.from_ns).to_string(),
            end: timestamp(window.to_ns).to_string(),
        }
    }
}

/// An error in OpenCost's form.
#[must_use]
pub fn error(code: u16, message: &str) -> String {
    text(&Error { code, message })
}

fn text(value: &impl Serialize) -> String {
    // Maps have strings for keys, and numbers are numbers: nothing in it can fail.
    serde_json::to_string(value).unwrap_or_default()
}

fn answer<T: Serialize>(data: T, warnings: &[String], known: Known<'_>) -> String {
    let mut told: Vec<_> = warnings.iter().take(WARNINGS).cloned().collect();
    if let Some(more) = warnings.len().checked_sub(WARNINGS + 1) {
        told.push(format!("and {} more", more + 1));
    }
    if known.unreadable > 0 {
        told.push(format!(
            "{} usage journals cannot be read",
            known.unreadable
        ));
    }
    text(&Answer {
        code: 200,
        status: "success",
        data,
        warning: (!told.is_empty()).then(|| format!("not counted: {}", told.join("; "))),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PropertiesAnswer<'a> {
    #[serde(flatten)]
    values: &'a BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

/// What the answer and its summary have in common.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Common {
    start: String,
    end: String,
    cpu_core_request_average: Exact,
    cpu_core_usage_average: Exact,
    cpu_cost: Exact,
    gpu_cost: Exact,
    network_cost: Exact,
    load_balancer_cost: Exact,
    pv_cost: Exact,
    ram_byte_request_average: Exact,
    ram_byte_usage_average: Exact,
    ram_cost: Exact,
    shared_cost: Exact,
    external_cost: Exact,
    cpu_efficiency: Exact,
    ram_efficiency: Exact,
    total_efficiency: Exact,
    total_cost: Exact,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AllocationAnswer<'a> {
    name: &'a str,
    properties: PropertiesAnswer<'a>,
    window: Bounds,
    minutes: Exact,
    cpu_cores: Exact,
    cpu_core_hours: Exact,
    cpu_cost_adjustment: Exact,
    gpu_count: Exact,
    gpu_hours: Exact,
    gpu_cost_adjustment: Exact,
    gpu_efficiency: Option<Exact>,
    network_transfer_bytes: u64,
    network_receive_bytes: u64,
    network_cost_adjustment: Exact,
    load_balancer_cost_adjustment: Exact,
    pv_bytes: Exact,
    pv_byte_hours: Exact,
    pvs: Option<()>,
    pv_cost_adjustment: Exact,
    ram_bytes: Exact,
    ram_byte_hours: Exact,
    ram_cost_adjustment: Exact,
    #[serde(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct SummaryAnswer<'a> {
    name: &'a str,
    #[serde(flatten)]
    common: Common,
}

/// What was used of what was requested: nothing requested and something used is all of it.
fn efficiency(used: &BigRational, requested: &BigRational) -> BigRational {
    if !requested.is_zero() {
        used / requested
    } else if used.is_zero() {
        BigRational::zero()
    } else {
        BigRational::from_integer(1.into())
    }
}

fn common(allocation: &Allocation) -> Common {
    let Allocation {
        bounds,
        totals,
        costs,
        ..
    } = allocation;
    let average = |amount: u128, unit: u128| Exact(per(amount, unit, *bounds));
    let cpu = [
        per(totals.requested.milli_vcpu_ns, 1000, *bounds),
        per(totals.used.cpu_ns.into(), 1, *bounds),
    ];
    let ram = [
        per(totals.requested.memory_byte_ns, 1, *bounds),
        per(totals.used.memory_byte_ns, 1, *bounds),
    ];
    let cpu = efficiency(&cpu[1], &cpu[0]);
    let ram = efficiency(&ram[1], &ram[0]);
    let weight = &costs.cpu + &costs.ram;
    let total_efficiency = if weight.is_zero() {
        BigRational::zero()
    } else {
        (&cpu * &costs.cpu + &ram * &costs.ram) / weight
    };
    let Bounds { start, end } = (*bounds).into();
    Common {
        start,
        end,
        cpu_core_request_average: average(totals.requested.milli_vcpu_ns, 1000),
        cpu_core_usage_average: average(totals.used.cpu_ns.into(), 1),
        cpu_cost: (&costs.cpu).into(),
        gpu_cost: (&costs.gpu).into(),
        network_cost: (&costs.network).into(),
        load_balancer_cost: Exact::zero(),
        pv_cost: (&costs.storage).into(),
        ram_byte_request_average: average(totals.requested.memory_byte_ns, 1),
        ram_byte_usage_average: average(totals.used.memory_byte_ns, 1),
        ram_cost: (&costs.ram).into(),
        shared_cost: Exact::zero(),
        external_cost: (&costs.once).into(),
        cpu_efficiency: Exact(cpu),
        ram_efficiency: Exact(ram),
        total_efficiency: Exact(total_efficiency),
        total_cost: Exact(costs.total()),
    }
}

/// An amount times time by the time of a window: its average.
fn per(amount: u128, unit: u128, bounds: Window) -> BigRational {
    let length = bounds.to_ns.abs_diff(bounds.from_ns);
    BigRational::new(amount.into(), (u128::from(length.max(1)) * unit).into())
}

fn minutes(bounds: Window) -> Exact {
    Exact::of(bounds.to_ns.abs_diff(bounds.from_ns).into(), HOUR / 60)
}

fn full<'a>(name: &'a str, allocation: &'a Allocation, step: Window) -> AllocationAnswer<'a> {
    let Allocation {
        properties,
        bounds,
        totals,
        ..
    } = allocation;
    let had = totals.provisioned;
    AllocationAnswer {
        name,
        properties: PropertiesAnswer {
            values: &properties.values,
            labels: &properties.labels,
            annotations: &properties.annotations,
        },
        window: step.into(),
        minutes: minutes(*bounds),
        cpu_cores: Exact(per(had.milli_vcpu_ns, 1000, *bounds)),
        cpu_core_hours: Exact::of(had.milli_vcpu_ns, 1000 * HOUR),
        cpu_cost_adjustment: Exact::zero(),
        gpu_count: Exact(per(had.gpu_ns, 1, *bounds)),
        gpu_hours: Exact::of(had.gpu_ns, HOUR),
        gpu_cost_adjustment: Exact::zero(),
        gpu_efficiency: None,
        network_transfer_bytes: totals.used.network_sent_bytes,
        network_receive_bytes: totals.used.network_received_bytes,
        network_cost_adjustment: Exact::zero(),
        load_balancer_cost_adjustment: Exact::zero(),
        pv_bytes: Exact(per(had.storage_byte_ns, 1, *bounds)),
        pv_byte_hours: Exact::of(had.storage_byte_ns, HOUR),
        pvs: None,
        pv_cost_adjustment: Exact::zero(),
        ram_bytes: Exact(per(had.memory_byte_ns, 1, *bounds)),
        ram_byte_hours: Exact::of(had.memory_byte_ns, HOUR),
        ram_cost_adjustment: Exact::zero(),
        common: common(allocation),
    }
}

pub(super) fn allocations(all: &Allocations, known: Known<'_>) -> String {
    let sets = all.sets.iter().map(|(step, set)| {
        let ready = set
            .iter()
            .map(|(key, allocation)| (key, text_of(&full(key, allocation, *step))));
        ready.collect::<BTreeMap<_, _>>()
    });
    let data: Vec<_> = sets.collect();
    answer(data, &all.warnings, known)
}

/// One allocation, written as soon as it is made: there may be many.
fn text_of(value: &impl Serialize) -> Option<Box<RawValue>> {
    RawValue::from_string(text(value)).ok()
}

#[derive(Serialize)]
struct SummarySet<'a> {
    allocations: BTreeMap<&'a str, Option<Box<RawValue>>>,
    window: Bounds,
}

#[derive(Serialize)]
struct SummaryRange<'a> {
    /// In nanoseconds.
    step: u64,
    sets: Vec<SummarySet<'a>>,
    window: Bounds,
}

pub(super) fn summary(query: &Query, all: &Allocations, known: Known<'_>) -> String {
    let sets = all.sets.iter().map(|(step, set)| {
        let summaries = set.iter().map(|(name, allocation)| {
            let common = common(allocation);
            (name.as_str(), text_of(&SummaryAnswer { name, common }))
        });
        SummarySet {
            allocations: summaries.collect(),
            window: (*step).into(),
        }
    });
    let data = SummaryRange {
        step: query.step_ns,
        sets: sets.collect(),
        window: query.window.into(),
    };
    answer(data, &all.warnings, known)
}

#[derive(Serialize)]
struct AssetProperties<'a> {
    category: &'static str,
    service: &'static str,
    cluster: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AssetAnswer<'a> {
    r#type: &'static str,
    properties: AssetProperties<'a>,
    window: Bounds,
    start: String,
    end: String,
    minutes: Exact,
    cpu_cores: Exact,
    ram_bytes: Exact,
    cpu_core_hours: Exact,
    ram_byte_hours: Exact,
    cpu_cost: Exact,
    ram_cost: Exact,
    gpu_cost: Exact,
    discount: Exact,
    preemptible: Exact,
    adjustment: Exact,
    total_cost: Exact,
}

pub(super) fn assets(query: &Query, known: Known<'_>) -> String {
    let mut data = BTreeMap::new();
    let node = known.node;
    if let Some((machine, costs)) = machine_costs(known, query.window)
        && let Some(span) = machine.spans.first()
    {
        let up = Window::of_length(span.start_ns, span.end_ns.abs_diff(span.start_ns));
        let time = span.length_ns();
        let Bounds { start, end } = up.into();
        let asset = AssetAnswer {
            r#type: "Node",
            properties: AssetProperties {
                category: "Compute",
                service: "Kubernetes",
                cluster: &node.cluster,
                name: &node.name,
            },
            window: query.window.into(),
            start,
            end,
            minutes: minutes(up),
            cpu_cores: Exact::of(node.size.milli_vcpus.into(), 1000),
            ram_bytes: Exact::of(node.size.memory_bytes.into(), 1),
            cpu_core_hours: Exact::of(u128::from(node.size.milli_vcpus) * time, 1000 * HOUR),
            ram_byte_hours: Exact::of(u128::from(node.size.memory_bytes) * time, HOUR),
            cpu_cost: (&costs.cpu).into(),
            ram_cost: (&costs.ram).into(),
            gpu_cost: Exact::zero(),
            discount: Exact::zero(),
            preemptible: Exact::zero(),
            adjustment: Exact::zero(),
            total_cost: Exact(&costs.cpu + &costs.ram),
        };
        data.insert(
            format!("{}/Compute/Kubernetes/Node/{}", node.cluster, node.name),
            asset,
        );
    }
    answer(data, &[], known)
}
