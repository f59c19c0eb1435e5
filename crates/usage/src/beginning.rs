//! What a runtime can know of a Pod beside what it makes: what its client tells it, and what
//! Kubernetes' own controllers write into the labels of the Pods that they make.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::pod_use::{Controller, Size};

/// What was before a sandbox was made, as `skete` tells its engine by an annotation. The kubelet
/// tells nothing of it, and has no need to: it makes the sandbox first and pulls images then.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Beginning {
    /// What the monotonic clock said when the download of the images began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ns: Option<u64>,
    /// Compressed bytes that were downloaded.
    pub image_bytes: u64,
    /// What the Pod asks for: the CRI carries no request of memory or storage.
    pub requested: Size,
}

impl Controller {
    /// The controller of a Pod, by its labels and its name. A Pod's maker can write any label: this
    /// is good for grouping, and decides nothing about money.
    #[must_use]
    pub fn of_labels(name: &str, labels: &BTreeMap<String, String>) -> Option<Self> {
        let label = |key: &str| labels.get(key).map(String::as_str);
        let (owner, last) = name.rsplit_once('-').unwrap_or((name, ""));
        let named = |kind: &str, name: &str| {
            Some(Self {
                kind: kind.to_owned(),
                name: name.to_owned(),
            })
        };
        if let Some(hash) = label("pod-template-hash") {
            let of_hash = owner.strip_suffix(hash).is_some_and(|o| o.ends_with('-'));
            return of_hash.then(|| named("ReplicaSet", owner))?;
        }
        if let Some(job) = label("batch.kubernetes.io/job-name").or(label("job-name")) {
            return named("Job", job);
        }
        if label("statefulset.kubernetes.io/pod-name") == Some(name) {
            let ordinal = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
            return ordinal.then(|| named("StatefulSet", owner))?;
        }
        label("pod-template-generation").and_then(|_| named("DaemonSet", owner))
    }
}

#[cfg(test)]
#[path = "beginning_test.rs"]
mod tests;
