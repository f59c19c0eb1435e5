//! The node's label, by which Pods of the RuntimeClass find nodes that can run them.
//!
//! `kubectl` sets it with the kubelet's own credentials: a kubelet may label its own node, but for
//! names that belong to Kubernetes. So no account with rights on nodes is needed, and the name is
//! one of Skete's own domain.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::program;

/// The label's name; its value is `true`.
pub const NAME: &str = "skete.io/runtime";
/// Where kubeadm puts the kubelet's credentials.
pub const KUBELET_CONFIG: &str = "/etc/kubernetes/kubelet.conf";

/// A node and how to reach its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Credentials and address of the cluster.
    pub kubeconfig: PathBuf,
    /// The node's name.
    pub node: String,
}

impl Label {
    /// The kubelet's: `kubeconfig`, or kubeadm's place if there is such a file; and `node`, or this
    /// machine's name, as the kubelet takes it.
    #[must_use]
    pub fn of_this_node(kubeconfig: Option<&Path>, node: Option<&str>) -> Option<Self> {
        let kubeconfig = match kubeconfig {
            Some(kubeconfig) => kubeconfig.to_owned(),
            None => Some(PathBuf::from(KUBELET_CONFIG)).filter(|path| path.is_file())?,
        };
        let node = node.map_or_else(own_name, str::to_owned);
        Some(Self { kubeconfig, node })
    }

    /// Sets it.
    ///
    /// # Errors
    /// There is no `kubectl`, or the cluster refuses.
    pub fn set(&self) -> Result<(), program::Error> {
        self.kubectl(&format!("{NAME}=true"))
    }

    /// Takes it away.
    ///
    /// # Errors
    /// There is no `kubectl`, or the cluster refuses.
    pub fn remove(&self) -> Result<(), program::Error> {
        self.kubectl(&format!("{NAME}-"))
    }

    fn kubectl(&self, change: &str) -> Result<(), program::Error> {
        let kubectl = program::find_own("kubectl")?;
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig.display());
        let arguments = [
            kubeconfig.as_str(),
            "--request-timeout=20s",
            "label",
            "node",
            &self.node,
            "--overwrite",
            change,
        ];
        program::run(&kubectl, &arguments).map(drop)
    }
}

/// What an administrator types where this program cannot do it.
#[must_use]
pub fn by_hand(node: Option<&str>) -> String {
    let node = node.map_or_else(own_name, str::to_owned);
    format!("kubectl label node {node} {NAME}=true")
}

/// The machine's name, in small letters as the kubelet registers it.
fn own_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().trim().to_lowercase()
}
