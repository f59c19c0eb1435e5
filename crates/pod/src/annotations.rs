//! The annotations by which things travel that no field has a place for.

/// On a Pod, and so in its sandbox's configuration: the guest's CPUs, a whole number. In place of
/// what the containers' limits come to.
pub const VCPUS: &str = "io.skete.vcpus";
/// On a Pod, and so in its sandbox's configuration: the guest's memory, a quantity as `512Mi`. In
/// place of what the containers' limits come to.
pub const MEMORY: &str = "io.skete.memory";
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

/// In a container's specification: `USER[:GROUP]`, names or numbers, to be looked up in the root
/// file system's `/etc/passwd` and `/etc/group` as containerd looks a `USER` up: `process.user.uid`
/// and `.gid` give way to what is found; a number without an entry stands for itself, with group 0
/// unless one is given; a name without an entry is an error. `.additionalGids` stay, and the
/// group itself joins them, as do the groups that list the user unless
/// [`CONTAINER_GROUPS_POLICY`] is `Strict`. Absent where the numbers stand in `process.user`.
pub const CONTAINER_USER: &str = "io.skete.container.user";
/// In a container's specification: `Strict` where the image's `/etc/group` must not add groups.
pub const CONTAINER_GROUPS_POLICY: &str = "io.skete.container.groups-policy";

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
