//! From Pods to allocations: what each group had, used and cost in each step of the window.

use std::collections::BTreeMap;

use skete_usage::{Ended, Pod, PodUse, Size, Span, Totals, Used};

use super::property::{Property, key};
use super::query::Query;
use super::{IDLE, Known, Node, QueryError};
use crate::charge::{ChargeError, Charges, Pricing, billed_bounds, distance, share};
use crate::money::Money;
use crate::prices::Prices;
use crate::rules::Meter;
use skete_usage::Window;

/// Most allocations of an answer.
const MAX_ALLOCATIONS: usize = 200_000;

/// What is answered.
pub(super) struct Allocations {
    /// One for each step.
    pub(super) sets: Vec<(Window, BTreeMap<String, Allocation>)>,
    /// Pods that are not in it, with the reason.
    pub(super) warnings: Vec<String>,
}

/// What a group of Pods had, used and cost.
pub(super) struct Allocation {
    pub(super) properties: Properties,
    /// From its first moment to its last.
    pub(super) bounds: Window,
    pub(super) totals: Totals,
    pub(super) costs: Costs,
}

/// Costs by OpenCost's columns.
#[derive(Debug, Clone, Default)]
pub(super) struct Costs {
    pub(super) cpu: Money,
    pub(super) ram: Money,
    pub(super) gpu: Money,
    pub(super) storage: Money,
    pub(super) network: Money,
    /// What is charged once.
    pub(super) once: Money,
}

/// What all Pods of a group have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Properties {
    pub(super) values: BTreeMap<&'static str, String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

impl Properties {
    fn of(used: &PodUse, node: &Node) -> Self {
        let named = [
            ("cluster", Property::Cluster),
            ("node", Property::Node),
            ("namespace", Property::Namespace),
            ("controllerKind", Property::ControllerKind),
            ("controller", Property::Controller),
            ("pod", Property::Pod),
            ("uid", Property::Uid),
        ];
        let values = named.iter().filter_map(|(name, property)| {
            let value = property.of(used, node)?;
            Some((*name, value.to_owned()))
        });
        Self {
            values: values.collect(),
            labels: used.pod.labels.clone(),
            annotations: used.pod.annotations.clone(),
        }
    }

    /// Keeps what another Pod has, too.
    fn keep(&mut self, used: &PodUse, node: &Node) {
        let other = Self::of(used, node);
        self.values
            .retain(|key, value| other.values.get(key) == Some(value));
        self.labels
            .retain(|key, value| other.labels.get(key) == Some(value));
        self.annotations
            .retain(|key, value| other.annotations.get(key) == Some(value));
    }
}

impl Costs {
    pub(super) fn of(prices: &Prices<'_>, charges: &Charges) -> Self {
        let mut costs = Self::default();
        for (line, quantity) in charges.iter() {
            let column = match prices.pricing().rate(line).meter {
                Meter::Vcpu => &mut costs.cpu,
                Meter::Memory => &mut costs.ram,
                Meter::Gpu => &mut costs.gpu,
                Meter::Storage => &mut costs.storage,
                Meter::NetworkReceived | Meter::NetworkSent => &mut costs.network,
                Meter::Pod | Meter::ContainerStart | Meter::Image => &mut costs.once,
            };
            *column += prices.cost(line, quantity);
        }
        costs
    }

    pub(super) fn total(&self) -> Money {
        [
            &self.cpu,
            &self.ram,
            &self.gpu,
            &self.storage,
            &self.network,
            &self.once,
        ]
        .into_iter()
        .sum()
    }
}

/// A group that still grows.
struct Group {
    properties: Properties,
    bounds: Window,
    totals: Totals,
    charges: Charges,
}

/// Answers a query. Tiers are settled by all Pods of the window, whichever are told of.
pub(super) fn compute(query: &Query, known: Known<'_>) -> Result<Allocations, QueryError> {
    let pricing = Pricing::new(known.list, query.window);
    let mut sets: Vec<BTreeMap<String, Group>> =
        query.steps.iter().map(|_| BTreeMap::new()).collect();
    let mut had: Vec<Totals> = vec![Totals::default(); query.steps.len()];
    let mut all = Charges::default();
    let mut warnings = Vec::new();
    let mut count = 0;
    for used in known.pods {
        let charged = pricing.charge(used).and_then(|charges| {
            let bounds = billed_bounds(known.list, used, query.window)?;
            let fits = all.add(&charges).is_some();
            fits.then_some(bounds).ok_or_else(|| ChargeError::TooLarge {
                pod: used.pod.uid.clone(),
            })
        });
        let bounds = match charged {
            Ok(Some(bounds)) => bounds,
            Ok(None) => continue,
            Err(error) => {
                warnings.push(error.to_string());
                continue;
            }
        };
        let fine = known.fine.filter(|fine| fine.pod.uid == used.pod.uid);
        let fine = fine.unwrap_or(used);
        let told = query.filter.holds(used, known.node);
        let key = key(&query.aggregate, used, known.node);
        let first = query
            .steps
            .partition_point(|step| step.to_ns <= bounds.from_ns);
        for (index, step) in query.steps.iter().enumerate().skip(first) {
            let Some(billed) = step.intersect(bounds) else {
                break;
            };
            let mut totals = Totals::default();
            let lived = add_clipped(&mut totals, fine, *step);
            had[index].provisioned.milli_vcpu_ns += totals.provisioned.milli_vcpu_ns;
            had[index].provisioned.memory_byte_ns += totals.provisioned.memory_byte_ns;
            // Charged as a whole, it is charged in part.
            let charges = pricing.charge_within(used, *step).unwrap_or_default();
            // Between two spans a Pod is paused: it has nothing, and costs nothing.
            if !told || (lived.is_none() && charges.iter().next().is_none()) {
                continue;
            }
            let part = Part {
                used: fine,
                step: *step,
                bounds: lived.unwrap_or(billed),
                charges,
            };
            count += usize::from(part.add(&mut sets[index], &key, known.node));
            if count > MAX_ALLOCATIONS {
                return Err(QueryError::TooMany(MAX_ALLOCATIONS));
            }
        }
    }
    let prices = Prices::settle(&pricing, &all);
    let finish = |group: Group| Allocation {
        costs: Costs::of(&prices, &group.charges),
        properties: group.properties,
        bounds: group.bounds,
        totals: group.totals,
    };
    let mut finished = Vec::with_capacity(sets.len());
    for ((step, groups), had) in query.steps.iter().zip(sets).zip(had) {
        let mut set: BTreeMap<_, _> = groups
            .into_iter()
            .map(|(key, group)| (key, finish(group)))
            .collect();
        if query.idle
            && let Some(idle) = idle(known, &prices, *step, &had)
        {
            set.insert(IDLE.to_owned(), idle);
        }
        finished.push((*step, set));
    }
    Ok(Allocations {
        sets: finished,
        warnings,
    })
}

/// What a Pod adds to a group in one step.
struct Part<'a> {
    used: &'a PodUse,
    step: Window,
    bounds: Window,
    charges: Charges,
}

impl Part<'_> {
    /// Adds it; comes back with whether the group is new.
    fn add(self, groups: &mut BTreeMap<String, Group>, key: &str, node: &Node) -> bool {
        let Some(group) = groups.get_mut(key) else {
            let mut totals = Totals::default();
            add_clipped(&mut totals, self.used, self.step);
            let group = Group {
                properties: Properties::of(self.used, node),
                bounds: self.bounds,
                totals,
                charges: self.charges,
            };
            groups.insert(key.to_owned(), group);
            return true;
        };
        group.properties.keep(self.used, node);
        group.bounds = union(group.bounds, self.bounds);
        add_clipped(&mut group.totals, self.used, self.step);
        // The sum over all Pods and the whole window fitted.
        let _ = group.charges.add(&self.charges);
        false
    }
}

fn union(a: Window, b: Window) -> Window {
    Window {
        from_ns: a.from_ns.min(b.from_ns),
        to_ns: a.to_ns.max(b.to_ns),
    }
}

/// Adds what a Pod had and used within a window; comes back with the time from its first moment in it
/// to its last. What was used in a span is spread evenly over it.
fn add_clipped(totals: &mut Totals, used: &PodUse, window: Window) -> Option<Window> {
    let mut bounds = None;
    for span in &used.spans {
        let whole = Window::new(span.start_ns, span.end_ns).ok();
        let Some(part) = whole.and_then(|whole| whole.intersect(window)) else {
            continue;
        };
        totals.add_span(&clipped(span, part));
        bounds = Some(bounds.map_or(part, |before| union(before, part)));
    }
    bounds
}

fn clipped(span: &Span, part: Window) -> Span {
    let length = distance(span.start_ns, span.end_ns);
    let from = distance(span.start_ns, part.from_ns);
    let until = distance(span.start_ns, part.to_ns);
    let of = |total: u128| share(total, until, length) - share(total, from, length);
    let small = |total: u64| u64::try_from(of(total.into())).unwrap_or(total);
    let used = span.used;
    Span {
        start_ns: part.from_ns,
        end_ns: part.to_ns,
        used: Used {
            cpu_ns: small(used.cpu_ns),
            memory_byte_ns: of(used.memory_byte_ns),
            block_read_bytes: small(used.block_read_bytes),
            block_written_bytes: small(used.block_written_bytes),
            network_received_bytes: small(used.network_received_bytes),
            network_sent_bytes: small(used.network_sent_bytes),
        },
        ..*span
    }
}

/// The machine in a window, as though it was one Pod; `None` if it did not run then.
pub(super) fn machine(known: Known<'_>, window: Window) -> Option<PodUse> {
    let node = known.node;
    let up = Window::new(node.since_ns, known.now_ns)
        .ok()?
        .intersect(window)?;
    let span = Span {
        start_ns: up.from_ns,
        end_ns: up.to_ns,
        provisioned: node.size,
        requested: node.size,
        limits: Size::default(),
        used: Used::default(),
    };
    let architecture = known
        .pods
        .first()
        .map_or("amd64", |used| &used.pod.architecture);
    Some(PodUse {
        pod: Pod {
            uid: String::new(),
            name: IDLE.to_owned(),
            namespace: IDLE.to_owned(),
            namespace_uid: None,
            labels: BTreeMap::new(),
            controller: None,
            node: node.name.clone(),
            architecture: architecture.to_owned(),
            runtime: "skete".to_owned(),
            annotations: BTreeMap::new(),
        },
        spans: vec![span],
        container_starts: 0,
        image_bytes: 0,
        ended: Ended::Running,
    })
}

/// What of the machine no Pod had, at the prices of a Pod of its size; `None` if the machine did not
/// run, or the list has no prices for it.
fn idle(known: Known<'_>, prices: &Prices<'_>, step: Window, had: &Totals) -> Option<Allocation> {
    let machine = machine(known, step)?;
    let unrounded = prices.pricing().unrounded();
    let whole = Costs::of(prices, &unrounded.charge_within(&machine, step).ok()?);
    let mut totals = Totals::default();
    totals.add(&machine);
    let mut rest = totals;
    let there = totals.provisioned;
    let left = &mut rest.provisioned;
    left.milli_vcpu_ns = there
        .milli_vcpu_ns
        .saturating_sub(had.provisioned.milli_vcpu_ns);
    left.memory_byte_ns = there
        .memory_byte_ns
        .saturating_sub(had.provisioned.memory_byte_ns);
    let part =
        |cost: &Money, left: u128, there: u128| cost * Money::new(left.into(), there.max(1).into());
    let costs = Costs {
        cpu: part(&whole.cpu, left.milli_vcpu_ns, there.milli_vcpu_ns),
        ram: part(&whole.ram, left.memory_byte_ns, there.memory_byte_ns),
        ..Costs::default()
    };
    rest.requested = rest.provisioned;
    let span = machine.spans.first()?;
    let values = [("cluster", &known.node.cluster), ("node", &known.node.name)];
    Some(Allocation {
        properties: Properties {
            values: values.map(|(key, value)| (key, value.clone())).into(),
            ..Properties::default()
        },
        bounds: Window::new(span.start_ns, span.end_ns).ok()?,
        totals: rest,
        costs,
    })
}

/// What the machine costs in a window, by its prices; `None` if it did not run.
pub(super) fn machine_costs(known: Known<'_>, window: Window) -> Option<(PodUse, Costs)> {
    let machine = machine(known, window)?;
    let pricing = Pricing::new(known.list, window);
    let unrounded = pricing.unrounded();
    let charges = unrounded.charge(&machine).ok()?;
    let costs = Costs::of(&Prices::settle(&pricing, &charges), &charges);
    Some((machine, costs))
}
