//! What a node lets its Pods choose by annotations, and see of the host.
//!
//! containerd hands all annotations of a Pod to a shim that is its own sandboxer, and whoever may
//! make a Pod may annotate it. So none of ours counts unless the node's administrator has allowed
//! it: with them a Pod has more memory than the scheduler knows of, more disk than its limit, or no
//! hardware wall around it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skete_cri_api::annotations;

/// What an administrator may allow. Not what makes the VM: emulation is no wall, so that a Pod
/// must never choose it.
pub const ALLOWABLE: [&str; 3] = [
    annotations::VCPUS,
    annotations::MEMORY,
    annotations::EPHEMERAL_STORAGE,
];

/// Why a Pod's annotations are not taken.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The Pod asks for what it may not.
    #[error("{}", refusal(.0))]
    NotAllowed(String),
    /// The node's policy cannot be read, so that nothing is known to be allowed.
    #[error("read the node's policy {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn refusal(annotation: &str) -> String {
    let cure = if ALLOWABLE.contains(&annotation) {
        "remove it from the Pod, or have the node's administrator allow it with `skete node install \
         --allow-annotation`"
    } else {
        "remove it from the Pod"
    };
    format!("annotation {annotation} is not allowed on this node: {cure}")
}

/// A node's policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// Annotations that Pods may have.
    #[serde(default)]
    pub allow_annotations: BTreeSet<String>,
    /// Files and directories of the host of which Pods may have copies, by `hostPath`.
    #[serde(default)]
    pub allow_host_paths: BTreeSet<PathBuf>,
    /// The node's name, for usage journals; this machine's if there is none.
    #[serde(default)]
    pub node_name: Option<String>,
    /// What usage journals tell price lists of every Pod of this node.
    #[serde(default)]
    pub usage_annotations: BTreeMap<String, String>,
}

impl Policy {
    /// Reads the policy of an installation. Without one, nothing is allowed.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let read = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read,
        };
        read.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
            .map_err(|source| PolicyError::Read {
                path: path.to_owned(),
                source,
            })
    }

    /// The place that a path of the host leads to, if it is allowed or below one that is, whatever
    /// links it leads by.
    #[must_use]
    pub fn host_path(&self, path: &Path) -> Option<PathBuf> {
        let place = path.canonicalize().ok()?;
        let holds = |allowed: &PathBuf| {
            let allowed = allowed.canonicalize();
            allowed.is_ok_and(|allowed| place.starts_with(allowed))
        };
        self.allow_host_paths.iter().any(holds).then_some(place)
    }

    /// Whether a Pod of the kubelet may have these annotations. Those that are not ours are no
    /// business of ours.
    ///
    /// # Errors
    /// One is ours and not allowed.
    pub fn check<V>(
        &self,
        annotations: impl IntoIterator<Item = (impl AsRef<str>, V)>,
    ) -> Result<(), PolicyError> {
        let allowed = |key: &str| ALLOWABLE.contains(&key) && self.allow_annotations.contains(key);
        let refused = annotations
            .into_iter()
            .map(|(key, _)| key.as_ref().to_owned())
            .filter(|key| key.starts_with(annotations::PREFIX) && !allowed(key))
            // The first by name, whatever the order in which they came.
            .min();
        match refused {
            None => Ok(()),
            Some(annotation) => Err(PolicyError::NotAllowed(annotation)),
        }
    }
}

#[cfg(test)]
#[path = "policy_test.rs"]
mod tests;
