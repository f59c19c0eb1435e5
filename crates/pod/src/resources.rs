//! From requests and limits to the size of a guest and the settings of its cgroups.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use skete_cri_api::runtime::LinuxContainerResources;
use skete_cri_api::{DEFAULT_MEMORY_MIB, DEFAULT_VCPUS, Quantity, Size};

/// The CFS period, in microseconds, that the kubelet gives with every quota.
const PERIOD_US: i64 = 100_000;
const MIN_QUOTA_US: i64 = 1000;
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;

/// The amount of one resource.
pub(crate) fn amount(map: Option<&BTreeMap<String, Text>>, name: &str) -> Option<Quantity> {
    let text = map?.get(name)?;
    Quantity::parse(&text.0).ok()
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    Request,
    Limit,
}

fn of(resources: Option<&ResourceRequirements>, bound: Bound, name: &str) -> Option<Quantity> {
    let resources = resources?;
    match bound {
        Bound::Request => amount(resources.requests.as_ref(), name),
        Bound::Limit => amount(resources.limits.as_ref(), name),
    }
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

/// What the Pod asks for in all, by the rule of the scheduler: the containers and sidecars
/// together, or the neediest moment of the initialization if that is more. What the Pod itself
/// says has precedence. `None` if nobody says anything.
pub(crate) fn total(spec: &PodSpec, bound: Bound, name: &str) -> Option<Quantity> {
    if let Some(own) = of(spec.resources.as_ref(), bound, name) {
        return Some(own);
    }
    let one = |c: &Container| of(c.resources.as_ref(), bound, name);
    let mut said = false;
    let mut add = |c: &Container| {
        let quantity = one(c);
        said |= quantity.is_some();
        quantity.unwrap_or_default()
    };
    let mut sidecars = Quantity::default();
    let mut peak = Quantity::default();
    for container in spec.init_containers.iter().flatten() {
        let quantity = add(container);
        if is_sidecar(container) {
            sidecars = sidecars + quantity;
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars + quantity);
        }
    }
    let main: Quantity = spec.containers.iter().map(&mut add).sum();
    let total = peak.max(main + sidecars);
    said.then_some(total)
}

/// The guest's size by the Pod's limits.
pub(crate) fn size(spec: &PodSpec) -> Size {
    let unlimited = |name: &str| {
        of(spec.resources.as_ref(), Bound::Limit, name).is_none()
            && crate::validate::all_containers(spec)
                .any(|(_, c, _)| of(c.resources.as_ref(), Bound::Limit, name).is_none())
    };
    let with_default = |name: &str, default: Quantity| {
        let total = total(spec, Bound::Limit, name).unwrap_or_default();
        if unlimited(name) {
            total + default
        } else {
            total
        }
    };
    let cpu = with_default("cpu", Quantity::units(u64::from(DEFAULT_VCPUS)));
    let memory = with_default("memory", Quantity::units(DEFAULT_MEMORY_MIB << 20));
    let mib = Quantity::units(1 << 20);
    Size {
        vcpus: u32::try_from(cpu.ceil()).unwrap_or(u32::MAX).max(1),
        memory_mib: u64::try_from(memory.div_ceil(mib)).unwrap_or(0).max(1),
    }
}

/// What the kubelet tells a runtime about the sandbox's resources.
pub(crate) fn sandbox_resources(spec: &PodSpec) -> LinuxContainerResources {
    linux_resources(
        total(spec, Bound::Request, "cpu"),
        total(spec, Bound::Limit, "cpu"),
        total(spec, Bound::Limit, "memory"),
    )
}

/// What the kubelet tells a runtime about a container's resources.
pub(crate) fn container_resources(
    spec: &PodSpec,
    container: &Container,
    memory_mib: u64,
) -> LinuxContainerResources {
    let own = container.resources.as_ref();
    let mut resources = linux_resources(
        of(own, Bound::Request, "cpu"),
        of(own, Bound::Limit, "cpu"),
        of(own, Bound::Limit, "memory"),
    );
    resources.oom_score_adj = oom_score_adj(spec, container, memory_mib);
    // On cgroup v2 the kubelet has the whole container killed, not one process of it.
    resources
        .unified
        .insert("memory.oom.group".to_owned(), "1".to_owned());
    resources
}

fn linux_resources(
    cpu_request: Option<Quantity>,
    cpu_limit: Option<Quantity>,
    memory_limit: Option<Quantity>,
) -> LinuxContainerResources {
    let milli = cpu_request.or(cpu_limit).unwrap_or_default().milli_ceil();
    let limit = cpu_limit.unwrap_or_default().milli_ceil();
    let quota = limit.saturating_mul(PERIOD_US) / 1000;
    LinuxContainerResources {
        cpu_shares: (milli.saturating_mul(1024) / 1000).clamp(MIN_SHARES, MAX_SHARES),
        cpu_period: PERIOD_US,
        cpu_quota: if limit > 0 {
            quota.max(MIN_QUOTA_US)
        } else {
            0
        },
        memory_limit_in_bytes: memory_limit.unwrap_or_default().ceil(),
        ..Default::default()
    }
}

/// Kubernetes' quality-of-service class of a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QosClass {
    /// Every container has limits for CPU and memory and requests as much.
    Guaranteed,
    /// Something in between.
    Burstable,
    /// No container has a request or a limit.
    BestEffort,
}

pub(crate) fn qos(spec: &PodSpec) -> QosClass {
    let mut holders: Vec<Option<&ResourceRequirements>> = match &spec.resources {
        Some(own) => vec![Some(own)],
        None => crate::validate::all_containers(spec)
            .map(|(_, c, _)| c.resources.as_ref())
            .collect(),
    };
    let names = ["cpu", "memory"];
    let said = |holder: &Option<&ResourceRequirements>| {
        names.iter().any(|name| {
            of(*holder, Bound::Request, name).is_some() || of(*holder, Bound::Limit, name).is_some()
        })
    };
    let guaranteed = |holder: &Option<&ResourceRequirements>| {
        names.iter().all(|name| {
            let limit = of(*holder, Bound::Limit, name);
            limit.is_some() && limit == of(*holder, Bound::Request, name)
        })
    };
    if holders.iter().all(guaranteed) {
        return QosClass::Guaranteed;
    }
    holders.retain(said);
    if holders.is_empty() {
        QosClass::BestEffort
    } else {
        QosClass::Burstable
    }
}

/// The kubelet's `GetContainerOOMScoreAdjust`, the guest being the node.
fn oom_score_adj(spec: &PodSpec, container: &Container, memory_mib: u64) -> i64 {
    match qos(spec) {
        QosClass::Guaranteed => -997,
        QosClass::BestEffort => 1000,
        QosClass::Burstable => {
            let request = of(container.resources.as_ref(), Bound::Request, "memory");
            let request = request.unwrap_or_default().ceil();
            let capacity = i64::try_from(memory_mib << 20).unwrap_or(i64::MAX).max(1);
            let adjust = 1000 - 1000i64.saturating_mul(request) / capacity;
            adjust.clamp(3, 999)
        }
    }
}

#[cfg(test)]
#[path = "resources_test.rs"]
mod tests;
