//! The Pods of one tenant, counted for a bill.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use skete_usage::{Controller, Ended, Pod, PodUse};
use thiserror::Error;

use crate::charge::{ChargeError, Charges, Pricing};
use crate::prices::Prices;

/// Pods that cannot be put on a bill.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TallyError {
    /// One of them cannot be charged.
    #[error(transparent)]
    Charge(#[from] ChargeError),
    /// Two records of one Pod do not say the same.
    #[error("Pod {0}: two records of it differ: keep the one that tells of its whole life")]
    Differ(String),
    /// A Namespace's name was used again: that is another tenant.
    #[error(
        "Namespace {name:?} is more than one: {}: name the tenant by its Namespace's UID",
        .uids.join(" and ")
    )]
    SeveralNamespaces {
        /// The name.
        name: String,
        /// Their UIDs.
        uids: Vec<String>,
    },
}

/// Whose Pods a bill is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant(String);

impl Tenant {
    /// A tenant is a Namespace, by its name or by its UID.
    #[must_use]
    pub fn new(namespace: &str) -> Self {
        Self(namespace.to_owned())
    }

    /// Whether a Pod is the tenant's.
    #[must_use]
    pub fn owns(&self, pod: &Pod) -> bool {
        pod.namespace == self.0 || pod.namespace_uid.as_ref() == Some(&self.0)
    }
}

impl std::fmt::Display for Tenant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Records of Pods: one that comes again is not counted again.
#[derive(Debug, Default)]
pub struct Seen(HashMap<Box<str>, u64>);

impl Seen {
    /// Whether a record is the first of its Pod.
    ///
    /// # Errors
    /// If there was one that says something else.
    pub fn is_new(&mut self, pod_use: &PodUse) -> Result<bool, TallyError> {
        let mut hasher = DefaultHasher::new();
        pod_use.hash(&mut hasher);
        let hash = hasher.finish();
        match self.0.get(pod_use.pod.uid.as_str()) {
            None => {
                self.0.insert(pod_use.pod.uid.as_str().into(), hash);
                Ok(true)
            }
            Some(known) if *known == hash => Ok(false),
            Some(_) => Err(TallyError::Differ(pod_use.pod.uid.clone())),
        }
    }
}

/// What a workload's Pods come to.
#[derive(Debug, Default)]
pub(crate) struct OfWorkload {
    pub(crate) pods: u64,
    pub(crate) charges: Charges,
}

/// Adds up the Pods of a tenant, in any order.
#[derive(Debug)]
pub struct Tally<'a> {
    pub(crate) pricing: &'a Pricing<'a>,
    pub(crate) tenant: Tenant,
    seen: Seen,
    pub(crate) totals: Charges,
    pub(crate) workloads: HashMap<Controller, OfWorkload>,
    /// UIDs of the tenant's Namespace, and its name.
    pub(crate) namespaces: BTreeMap<String, String>,
    pub(crate) pods: u64,
    pub(crate) running: u64,
    pub(crate) bounded: u64,
}

impl<'a> Tally<'a> {
    /// For a tenant, by the prices of a list in a window.
    #[must_use]
    pub fn new(pricing: &'a Pricing<'a>, tenant: Tenant) -> Self {
        Self {
            pricing,
            tenant,
            seen: Seen::default(),
            totals: Charges::default(),
            workloads: HashMap::new(),
            namespaces: BTreeMap::new(),
            pods: 0,
            running: 0,
            bounded: 0,
        }
    }

    /// Adds a Pod, if it is the tenant's and costs something in the window.
    ///
    /// # Errors
    /// [`TallyError`]; the tally is then of no use.
    pub fn add(&mut self, pod_use: &PodUse) -> Result<(), TallyError> {
        if !self.tenant.owns(&pod_use.pod) || !self.seen.is_new(pod_use)? {
            return Ok(());
        }
        let charges = self.pricing.charge(pod_use)?;
        if charges.iter().next().is_none() {
            return Ok(());
        }
        let pod = &pod_use.pod;
        if let Some(uid) = &pod.namespace_uid
            && !self.namespaces.contains_key(uid)
        {
            self.namespaces.insert(uid.clone(), pod.namespace.clone());
        }
        self.pods += 1;
        match pod_use.ended {
            Ended::Running => self.running += 1,
            Ended::Bounded => self.bounded += 1,
            Ended::Seen => {}
        }
        let workload = self.workloads.entry(workload(pod)).or_default();
        workload.pods += 1;
        workload
            .charges
            .add(&charges)
            .and_then(|()| self.totals.add(&charges))
            .ok_or_else(|| ChargeError::TooLarge {
                pod: pod.uid.clone(),
            })?;
        Ok(())
    }

    /// The prices of the bill, once all Pods are added.
    ///
    /// # Errors
    /// If the tenant's name was that of several Namespaces.
    pub fn settle(&self) -> Result<Prices<'a>, TallyError> {
        if self.namespaces.len() > 1 {
            return Err(TallyError::SeveralNamespaces {
                name: self.tenant.0.clone(),
                uids: self.namespaces.keys().cloned().collect(),
            });
        }
        Ok(Prices::settle(self.pricing, &self.totals))
    }
}

/// What a Pod is part of: its controller, or itself.
fn workload(pod: &Pod) -> Controller {
    pod.controller.clone().unwrap_or_else(|| Controller {
        kind: "Pod".to_owned(),
        name: pod.name.clone(),
    })
}

#[cfg(test)]
#[path = "tally_test.rs"]
mod tests;
