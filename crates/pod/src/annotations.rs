//! The annotations by which things travel that no field has a place for.

pub use skete_cri_api::annotations::{
    EMPTY_DIR_PREFIX, EPHEMERAL_STORAGE, HYPERVISOR, MEMORY, USAGE, VCPUS,
};

/// On a Pod: the network to join, `default` or `none`.
pub const NETWORK: &str = "io.skete.network";
/// On a Pod, with a container's name after it: the user that the container runs as,
/// `USER[:GROUP]`, names or numbers. `securityContext.runAsUser` has precedence.
pub const USER_PREFIX: &str = "io.skete.user/";

/// `sandbox` or `container`; this and the next are containerd's CRI plugin's.
pub const CRI_CONTAINER_TYPE: &str = "io.kubernetes.cri.container-type";
/// Id of the sandbox that a container belongs to.
pub const CRI_SANDBOX_ID: &str = "io.kubernetes.cri.sandbox-id";
/// The Pod's namespace.
pub const CRI_SANDBOX_NAMESPACE: &str = "io.kubernetes.cri.sandbox-namespace";
/// The Pod's uid.
pub const CRI_SANDBOX_UID: &str = "io.kubernetes.cri.sandbox-uid";
/// The Pod's name.
pub const CRI_SANDBOX_NAME: &str = "io.kubernetes.cri.sandbox-name";
/// The container's name in the Pod.
pub const CRI_CONTAINER_NAME: &str = "io.kubernetes.cri.container-name";
/// The image's name.
pub const CRI_IMAGE_NAME: &str = "io.kubernetes.cri.image-name";
