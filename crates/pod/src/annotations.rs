//! The annotations by which things travel that no field has a place for.

/// On a Pod, and so in its sandbox's configuration: the guest's CPUs, a whole number. In place of
/// what the containers' limits come to.
pub const VCPUS: &str = "io.skete.vcpus";
/// On a Pod, and so in its sandbox's configuration: the guest's memory, a quantity as `512Mi`. In
/// place of what the containers' limits come to.
pub const MEMORY: &str = "io.skete.memory";
/// On a Pod, and so in its sandbox's configuration: which maker of VMs runs it.
pub const HYPERVISOR: &str = "io.skete.hypervisor";
/// In a sandbox's configuration: bytes that its containers may write in all, the sum of their
/// `ephemeral-storage` limits, which the CRI does not carry.
pub const EPHEMERAL_STORAGE: &str = "io.skete.ephemeral-storage-bytes";
/// On a Pod: the network to join, `default` or `none`.
pub const NETWORK: &str = "io.skete.network";
/// On a Pod, with a container's name after it: the user that the container runs as,
/// `USER[:GROUP]`, names or numbers. `securityContext.runAsUser` has precedence.
pub const USER_PREFIX: &str = "io.skete.user/";
/// In a sandbox's configuration, with an emptyDir's name after it: an [`EmptyDir`] in JSON. Only
/// set where medium or size are given.
///
/// [`EmptyDir`]: crate::EmptyDir
pub const EMPTY_DIR_PREFIX: &str = "io.skete.empty-dir/";

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
