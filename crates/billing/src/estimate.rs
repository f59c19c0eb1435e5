//! What a Pod would cost that is not there yet.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use skete_usage::{Ended, Pod, PodUse, Size, Span, Used, Window};

use crate::charge::{ChargeError, Pricing};
use crate::list::PriceList;
use crate::money::Money;
use crate::prices::Prices;
use crate::rules::Basis;

/// Hours of an average month: 365 days ÷ 12.
pub const MONTH_HOURS: u32 = 730;
const HOUR_NS: i64 = 3_600_000_000_000;

/// A Pod to be, and how many of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// Its Namespace, for discounts.
    pub namespace: String,
    /// Its labels, for discounts.
    pub labels: BTreeMap<String, String>,
    /// Annotations that an administrator would set, for rates and discounts.
    pub annotations: BTreeMap<String, String>,
    /// The guest's architecture.
    pub architecture: String,
    /// What its VM would be made with.
    pub provisioned: Size,
    /// What it asks for.
    pub requested: Size,
    /// What it may use.
    pub limits: Size,
    /// How many of it run at once.
    pub pods: u64,
}

/// What Pods would cost that run for a month. Where a price list charges what is used, they are
/// taken to use what they ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// The size for which one of them is charged.
    pub charged: Size,
    /// For a second, on average over the month.
    pub second: Money,
    /// For an hour, on average over the month.
    pub hour: Money,
    /// For [`MONTH_HOURS`].
    pub month: Money,
    /// For the shortest life that is charged: what a Pod costs that ends at once.
    pub least: Money,
}

/// What Pods would cost, by the prices of the month that begins at a moment.
///
/// # Errors
/// If the list has no prices then, or no size that holds a Pod.
pub fn estimate(
    list: &PriceList,
    template: &Template,
    start_ns: i64,
) -> Result<Estimate, ChargeError> {
    let month = HOUR_NS * i64::from(MONTH_HOURS);
    let month = cost(list, template, start_ns, month)?;
    let least = cost(list, template, start_ns, 0)?;
    let hour = &month / BigInt::from(MONTH_HOURS);
    Ok(Estimate {
        charged: charged_size(list, template)?,
        second: &hour / BigInt::from(3600u32),
        hour,
        month,
        least,
    })
}

/// The size for which a Pod would be charged.
fn charged_size(list: &PriceList, template: &Template) -> Result<Size, ChargeError> {
    let size = match list.size.basis {
        Basis::Provisioned => template.provisioned,
        Basis::Requested | Basis::Used | Basis::Max => template.requested,
    };
    list.size.charged(size).map_err(|source| ChargeError::Size {
        pod: template.name.clone(),
        list: list.name.clone(),
        source,
    })
}

/// What lives of this length cost.
fn cost(
    list: &PriceList,
    template: &Template,
    start_ns: i64,
    length_ns: i64,
) -> Result<Money, ChargeError> {
    let end_ns = start_ns.saturating_add(length_ns);
    let asked = template.requested;
    let used = u128::from(end_ns.abs_diff(start_ns));
    let span = Span {
        start_ns,
        end_ns,
        provisioned: template.provisioned,
        requested: asked,
        limits: template.limits,
        used: Used {
            cpu_ns: u64::try_from(u128::from(asked.milli_vcpus) * used / 1000).unwrap_or(u64::MAX),
            memory_byte_ns: u128::from(asked.memory_bytes) * used,
            ..Used::default()
        },
    };
    let pod_use = PodUse {
        pod: Pod {
            uid: "estimate".to_owned(),
            name: template.name.clone(),
            namespace: template.namespace.clone(),
            namespace_uid: None,
            labels: template.labels.clone(),
            controller: None,
            node: String::new(),
            architecture: template.architecture.clone(),
            runtime: "skete".to_owned(),
            annotations: template.annotations.clone(),
        },
        spans: vec![span],
        container_starts: 1,
        image_bytes: 0,
        ended: Ended::Seen,
    };
    // The time that is added to a Pod's life is its too.
    let reach = length_ns.saturating_add(list.reach_ns()).saturating_add(1);
    let window = Window::of_length(start_ns, reach.unsigned_abs());
    let pricing = Pricing::new(list, window);
    let one = pricing.charge(&pod_use)?;
    let all = one
        .times(template.pods)
        .ok_or_else(|| ChargeError::TooLarge {
            pod: template.name.clone(),
        })?;
    Ok(Prices::settle(&pricing, &all).total(&all))
}

#[cfg(test)]
#[path = "estimate_test.rs"]
mod tests;
