//! Annotations of a sandbox's configuration that say to the engine what no field of the CRI does.

/// What all of them begin with.
pub const PREFIX: &str = "io.skete.";
/// The guest's CPUs, a whole number. In place of what the CPU limit comes to.
pub const VCPUS: &str = "io.skete.vcpus";
/// The guest's memory, a quantity as `512Mi`. In place of what the memory limit comes to.
pub const MEMORY: &str = "io.skete.memory";
/// What makes the VM, `kvm` or `emulation`. In place of the best that works.
pub const HYPERVISOR: &str = "io.skete.hypervisor";
/// Bytes of scratch disk: the Pod's ephemeral-storage limit.
pub const EPHEMERAL_STORAGE: &str = "io.skete.ephemeral-storage-bytes";
/// What was before the sandbox was made, for the Pod's usage journal: `skete_usage::Beginning` as
/// JSON. From `skete` alone.
pub const USAGE: &str = "io.skete.usage";
/// With an emptyDir's name after it: `{"memory": true, "sizeLimit": BYTES}`, both optional.
pub const EMPTY_DIR_PREFIX: &str = "io.skete.empty-dir/";
