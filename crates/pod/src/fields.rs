//! Which fields of Kubernetes' objects are honoured, and what each may hold.
//!
//! One table, from which files are checked: a field that is not in it is unknown, one marked
//! [`Kind::NotYet`] or [`Kind::Refused`] is refused unless it says what its absence says too.

use crate::names;

/// What a field may hold.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// Text that passes a check.
    Text(fn(&str) -> Result<(), String>),
    /// One of these words.
    Choice(&'static [&'static str]),
    Bool,
    /// A whole number between two others, both included.
    Int(i64, i64),
    /// A quantity, as text or as a number, that is not negative.
    Amount,
    /// Bytes in base64.
    Base64,
    List(&'static Kind),
    /// Keys that pass a check, and their values.
    Map(fn(&str) -> Result<(), String>, &'static Kind),
    Object(&'static [Field]),
    /// An object of which other fields are nobody's business here.
    Part(&'static [Field]),
    /// Means nothing on one machine or was written by an API server: any value will do.
    Moot,
    /// One value is right here, and why no other is.
    Only(&'static str, &'static str),
    /// Kubernetes has it, this does not honour it yet.
    NotYet,
    /// Kubernetes has it, this refuses it: why, and what to do.
    Refused(&'static str),
}

/// A field: its name, what it holds, whether it has to be there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

pub(crate) const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: false,
    }
}

pub(crate) const fn required(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        required: true,
    }
}

pub(crate) const ANY: Kind = Kind::Text(names::no_nul);
const ID: Kind = Kind::Int(0, i32::MAX as i64);
const PORT: Kind = Kind::Int(1, 65_535);
const MODE: Kind = Kind::Int(0, 0o777);
pub(crate) const COUNT: Kind = Kind::Int(0, i64::MAX);
const DATA_KEY: Kind = Kind::Text(names::data_key);
const OBJECT_NAME: Kind = Kind::Text(names::subdomain);
const TEXTS: Kind = Kind::List(&ANY);
pub(crate) const AMOUNTS: Kind = Kind::Map(names::filled, &Kind::Amount);

const NOT_SHARED: &str = "nothing of the host is shared with a microVM";

pub(crate) const POD: Kind = Kind::Object(&[
    required("apiVersion", Kind::Only("v1", "a Pod is of v1")),
    required("kind", Kind::Only("Pod", "")),
    required("metadata", METADATA),
    required("spec", SPEC),
    field("status", Kind::Moot),
]);

pub(crate) const CONFIG_MAP: Kind = Kind::Object(&[
    required("apiVersion", Kind::Only("v1", "a ConfigMap is of v1")),
    required("kind", Kind::Only("ConfigMap", "")),
    required("metadata", METADATA),
    field("data", Kind::Map(names::data_key, &Kind::Text(anything))),
    field("binaryData", Kind::Map(names::data_key, &Kind::Base64)),
    field("immutable", Kind::Moot),
]);

pub(crate) const SECRET: Kind = Kind::Object(&[
    required("apiVersion", Kind::Only("v1", "a Secret is of v1")),
    required("kind", Kind::Only("Secret", "")),
    required("metadata", METADATA),
    field("data", Kind::Map(names::data_key, &Kind::Base64)),
    field(
        "stringData",
        Kind::Map(names::data_key, &Kind::Text(anything)),
    ),
    field("type", ANY),
    field("immutable", Kind::Moot),
]);

/// A List but for its items, which are objects by themselves.
pub(crate) const LIST: Kind = Kind::Object(&[
    required("apiVersion", Kind::Only("v1", "a List is of v1")),
    required("kind", Kind::Only("List", "")),
    field("metadata", Kind::Moot),
    field("items", Kind::Moot),
]);

fn anything(_: &str) -> Result<(), String> {
    Ok(())
}

const METADATA: Kind = Kind::Object(&[
    field("name", OBJECT_NAME),
    field("generateName", Kind::Text(generate_name)),
    field("namespace", Kind::Text(names::label)),
    field(
        "labels",
        Kind::Map(names::qualified, &Kind::Text(names::label_value)),
    ),
    field(
        "annotations",
        Kind::Map(names::qualified, &Kind::Text(anything)),
    ),
    field("uid", Kind::Text(uid)),
    field("creationTimestamp", Kind::Moot),
    field("generation", Kind::Moot),
    field("managedFields", Kind::Moot),
    field("resourceVersion", Kind::Moot),
    field("selfLink", Kind::Moot),
    field("finalizers", Kind::NotYet),
    field("ownerReferences", Kind::NotYet),
    field("deletionTimestamp", Kind::NotYet),
    field("deletionGracePeriodSeconds", Kind::NotYet),
]);

/// The part of a name that is given; what is made ends in a letter or digit.
fn generate_name(base: &str) -> Result<(), String> {
    names::subdomain(&format!("{base}x")).map_err(|_| format!("{base:?} does not begin a DNS name"))
}

fn uid(text: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if (1..=63).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is not a uid; leave it out to have one made"
    ))
}

const SPEC: Kind = Kind::Object(&[
    required("containers", Kind::List(&CONTAINER)),
    field("initContainers", Kind::List(&CONTAINER)),
    field("volumes", Kind::List(&VOLUME)),
    field(
        "restartPolicy",
        Kind::Choice(&["Always", "OnFailure", "Never"]),
    ),
    field("terminationGracePeriodSeconds", COUNT),
    field("activeDeadlineSeconds", Kind::Int(1, i32::MAX as i64)),
    field("resources", RESOURCES),
    field("securityContext", POD_SECURITY),
    field("shareProcessNamespace", Kind::Bool),
    field("hostname", Kind::Text(names::label)),
    field("subdomain", Kind::Text(names::label)),
    field("setHostnameAsFQDN", Kind::Bool),
    field("hostAliases", Kind::List(&HOST_ALIAS)),
    field(
        "dnsPolicy",
        Kind::Choice(&["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]),
    ),
    field("dnsConfig", DNS_CONFIG),
    field("nodeName", Kind::Text(names::subdomain)),
    field("serviceAccountName", Kind::Text(names::subdomain)),
    field("serviceAccount", Kind::Text(names::subdomain)),
    field(
        "os",
        Kind::Object(&[required("name", Kind::Only("linux", "guests run Linux"))]),
    ),
    field(
        "runtimeClassName",
        Kind::Only("skete", "the only RuntimeClass here is skete"),
    ),
    field(
        "schedulerName",
        Kind::Only(
            "default-scheduler",
            "there is nothing to schedule on one machine",
        ),
    ),
    field("enableServiceLinks", Kind::Moot), // no Services, hence no variables for them
    field("tolerations", Kind::Moot),        // no taints
    field("preemptionPolicy", Kind::Moot),   // nothing is preempted
    field(
        "hostUsers",
        Kind::Only("true", "user namespaces are not honoured yet"),
    ),
    field(
        "hostNetwork",
        Kind::Refused(
            "nothing of the host is shared with a microVM; publish ports with containers[].ports[].hostPort",
        ),
    ),
    field(
        "hostPID",
        Kind::Refused(
            "nothing of the host is shared with a microVM; shareProcessNamespace shares processes within the Pod",
        ),
    ),
    field(
        "hostIPC",
        Kind::Refused(
            "nothing of the host is shared with a microVM; the Pod's containers share memory in /dev/shm",
        ),
    ),
    field(
        "automountServiceAccountToken",
        Kind::Refused("there is no API server here to talk to; leave it out or say false"),
    ),
    field(
        "ephemeralContainers",
        Kind::Refused("use exec to look into a running container"),
    ),
    field(
        "nodeSelector",
        Kind::Refused("there is one machine and it has no labels; leave it out"),
    ),
    field(
        "affinity",
        Kind::Refused("there is nothing to schedule on one machine; leave it out"),
    ),
    field(
        "topologySpreadConstraints",
        Kind::Refused("there is nothing to schedule on one machine; leave it out"),
    ),
    field("hostnameOverride", Kind::NotYet),
    field("imagePullSecrets", Kind::NotYet),
    field("overhead", Kind::NotYet),
    field("priority", Kind::NotYet),
    field("priorityClassName", Kind::NotYet),
    field("readinessGates", Kind::NotYet),
    field("resourceClaims", Kind::NotYet),
    field("schedulingGates", Kind::NotYet),
]);

const CONTAINER: Kind = Kind::Object(&[
    required("name", Kind::Text(names::label)),
    required("image", Kind::Text(names::filled)),
    field(
        "imagePullPolicy",
        Kind::Choice(&["Always", "IfNotPresent", "Never"]),
    ),
    field("command", TEXTS),
    field("args", TEXTS),
    field("workingDir", ANY),
    field("env", Kind::List(&ENV)),
    field("envFrom", Kind::List(&ENV_FROM)),
    field("ports", Kind::List(&CONTAINER_PORT)),
    field("resources", RESOURCES),
    field("securityContext", SECURITY),
    field("volumeMounts", Kind::List(&VOLUME_MOUNT)),
    field("stdin", Kind::Bool),
    field("stdinOnce", Kind::Bool),
    field("tty", Kind::Bool),
    field("restartPolicy", Kind::Choice(&["Always"])),
    field(
        "terminationMessagePath",
        Kind::Only(
            "/dev/termination-log",
            "termination messages are not honoured yet",
        ),
    ),
    field(
        "terminationMessagePolicy",
        Kind::Only("File", "termination messages are not honoured yet"),
    ),
    field("lifecycle", Kind::NotYet),
    field("livenessProbe", Kind::NotYet),
    field("readinessProbe", Kind::NotYet),
    field("startupProbe", Kind::NotYet),
    field("resizePolicy", Kind::NotYet),
    field("restartPolicyRules", Kind::NotYet),
    field("volumeDevices", Kind::NotYet),
]);

const ENV: Kind = Kind::Object(&[
    required("name", Kind::Text(names::environment)),
    field("value", ANY),
    field("valueFrom", ENV_SOURCE),
]);

const ENV_SOURCE: Kind = Kind::Object(&[
    field("configMapKeyRef", KEY_SELECTOR),
    field("secretKeyRef", KEY_SELECTOR),
    field("fieldRef", FIELD_REF),
    field("resourceFieldRef", RESOURCE_FIELD_REF),
    field("fileKeyRef", Kind::NotYet),
]);

const KEY_SELECTOR: Kind = Kind::Object(&[
    required("name", OBJECT_NAME),
    required("key", DATA_KEY),
    field("optional", Kind::Bool),
]);

const FIELD_REF: Kind = Kind::Object(&[
    field("apiVersion", Kind::Only("v1", "a Pod is of v1")),
    required("fieldPath", Kind::Text(names::filled)),
]);

const RESOURCE_FIELD_REF: Kind = Kind::Object(&[
    field("containerName", Kind::Text(names::label)),
    required(
        "resource",
        Kind::Choice(&[
            "limits.cpu",
            "limits.memory",
            "limits.ephemeral-storage",
            "requests.cpu",
            "requests.memory",
            "requests.ephemeral-storage",
        ]),
    ),
    field("divisor", Kind::Amount),
]);

const ENV_FROM: Kind = Kind::Object(&[
    field("prefix", ANY),
    field("configMapRef", OBJECT_REF),
    field("secretRef", OBJECT_REF),
]);

const OBJECT_REF: Kind =
    Kind::Object(&[required("name", OBJECT_NAME), field("optional", Kind::Bool)]);

const CONTAINER_PORT: Kind = Kind::Object(&[
    required("containerPort", PORT),
    field("name", Kind::Text(names::port)),
    field("protocol", Kind::Choice(&["TCP", "UDP", "SCTP"])),
    field("hostPort", Kind::Int(0, 65_535)),
    field("hostIP", Kind::Text(names::ip_address)),
]);

const RESOURCES: Kind = Kind::Object(&[
    field("limits", AMOUNTS),
    field("requests", AMOUNTS),
    field("claims", Kind::NotYet),
]);

const VOLUME_MOUNT: Kind = Kind::Object(&[
    required("name", Kind::Text(names::label)),
    required("mountPath", Kind::Text(mount_path)),
    field("readOnly", Kind::Bool),
    field("subPath", Kind::Text(names::relative_path)),
    field("subPathExpr", Kind::Text(names::relative_path)),
    field("mountPropagation", Kind::Only("None", NOT_SHARED)),
    field(
        "recursiveReadOnly",
        Kind::Only("Disabled", "a volume has no mounts below it"),
    ),
]);

fn mount_path(path: &str) -> Result<(), String> {
    names::filled(path)?;
    if path.contains(':') {
        return Err(format!("{path:?} must not contain \":\""));
    }
    Ok(())
}

const SECCOMP: Kind = Kind::Object(&[
    required("type", Kind::Choice(&["RuntimeDefault", "Unconfined"])),
    field(
        "localhostProfile",
        Kind::Refused(
            "profiles of the host are not honoured yet; the type is RuntimeDefault or Unconfined",
        ),
    ),
]);

const POD_SECURITY: Kind = Kind::Object(&[
    field("runAsUser", ID),
    field("runAsGroup", ID),
    field("runAsNonRoot", Kind::Bool),
    field("fsGroup", ID),
    field(
        "fsGroupChangePolicy",
        Kind::Choice(&["Always", "OnRootMismatch"]),
    ),
    field("supplementalGroups", Kind::List(&ID)),
    field(
        "supplementalGroupsPolicy",
        Kind::Choice(&["Merge", "Strict"]),
    ),
    field("seccompProfile", SECCOMP),
    field(
        "sysctls",
        Kind::List(&Kind::Object(&[
            required("name", Kind::Text(names::sysctl)),
            required("value", ANY),
        ])),
    ),
    field("appArmorProfile", Kind::NotYet),
    field("seLinuxChangePolicy", Kind::NotYet),
    field("seLinuxOptions", Kind::NotYet),
    field("windowsOptions", Kind::Refused("guests run Linux")),
]);

const SECURITY: Kind = Kind::Object(&[
    field("runAsUser", ID),
    field("runAsGroup", ID),
    field("runAsNonRoot", Kind::Bool),
    field("privileged", Kind::Bool),
    field("allowPrivilegeEscalation", Kind::Bool),
    field("readOnlyRootFilesystem", Kind::Bool),
    field("procMount", Kind::Choice(&["Default", "Unmasked"])),
    field(
        "capabilities",
        Kind::Object(&[
            field("add", Kind::List(&Kind::Text(capability))),
            field("drop", Kind::List(&Kind::Text(capability))),
        ]),
    ),
    field("seccompProfile", SECCOMP),
    field("appArmorProfile", Kind::NotYet),
    field("seLinuxOptions", Kind::NotYet),
    field("windowsOptions", Kind::Refused("guests run Linux")),
]);

fn capability(name: &str) -> Result<(), String> {
    crate::security::capability(name).map(|_| ())
}

const HOST_ALIAS: Kind = Kind::Object(&[
    required("ip", Kind::Text(names::ip_address)),
    field("hostnames", Kind::List(&Kind::Text(names::subdomain))),
]);

const DNS_CONFIG: Kind = Kind::Object(&[
    field("nameservers", Kind::List(&Kind::Text(names::ip_address))),
    field("searches", Kind::List(&Kind::Text(dns_search))),
    field(
        "options",
        Kind::List(&Kind::Object(&[
            required("name", Kind::Text(names::filled)),
            field("value", ANY),
        ])),
    ),
]);

fn dns_search(text: &str) -> Result<(), String> {
    if text == "." {
        return Ok(());
    }
    // Underscores are allowed in a search path, as in `_tcp.example.org`.
    let plain = text.strip_suffix('.').unwrap_or(text).replace('_', "x");
    names::subdomain(&plain).map_err(|_| format!("{text:?} is not a DNS search path"))
}

const VOLUME: Kind = Kind::Object(&[
    required("name", Kind::Text(names::label)),
    field(
        "emptyDir",
        Kind::Object(&[
            field("medium", Kind::Choice(&["", "Memory"])),
            field("sizeLimit", Kind::Amount),
        ]),
    ),
    field(
        "configMap",
        Kind::Object(&[
            required("name", OBJECT_NAME),
            field("items", Kind::List(&KEY_TO_PATH)),
            field("defaultMode", MODE),
            field("optional", Kind::Bool),
        ]),
    ),
    field(
        "secret",
        Kind::Object(&[
            required("secretName", OBJECT_NAME),
            field("items", Kind::List(&KEY_TO_PATH)),
            field("defaultMode", MODE),
            field("optional", Kind::Bool),
        ]),
    ),
    field(
        "downwardAPI",
        Kind::Object(&[
            field("items", Kind::List(&DOWNWARD_FILE)),
            field("defaultMode", MODE),
        ]),
    ),
    field(
        "projected",
        Kind::Object(&[
            field("sources", Kind::List(&PROJECTION)),
            field("defaultMode", MODE),
        ]),
    ),
    field(
        "hostPath",
        Kind::Refused(
            "nothing of the host is shared with a microVM; put the files into a ConfigMap, a Secret or the image, or use emptyDir",
        ),
    ),
    field("persistentVolumeClaim", Kind::NotYet),
    field("ephemeral", Kind::NotYet),
    field("image", Kind::NotYet),
    field("csi", Kind::NotYet),
    field("nfs", Kind::NotYet),
    field("iscsi", Kind::NotYet),
    field("fc", Kind::NotYet),
    field("flexVolume", Kind::NotYet),
    field("awsElasticBlockStore", Kind::NotYet),
    field("azureDisk", Kind::NotYet),
    field("azureFile", Kind::NotYet),
    field("cephfs", Kind::NotYet),
    field("cinder", Kind::NotYet),
    field("flocker", Kind::NotYet),
    field("gcePersistentDisk", Kind::NotYet),
    field("gitRepo", Kind::NotYet),
    field("glusterfs", Kind::NotYet),
    field("photonPersistentDisk", Kind::NotYet),
    field("portworxVolume", Kind::NotYet),
    field("quobyte", Kind::NotYet),
    field("rbd", Kind::NotYet),
    field("scaleIO", Kind::NotYet),
    field("storageos", Kind::NotYet),
    field("vsphereVolume", Kind::NotYet),
]);

const KEY_TO_PATH: Kind = Kind::Object(&[
    required("key", DATA_KEY),
    required("path", Kind::Text(names::projected_path)),
    field("mode", MODE),
]);

const DOWNWARD_FILE: Kind = Kind::Object(&[
    required("path", Kind::Text(names::projected_path)),
    field("fieldRef", FIELD_REF),
    field("resourceFieldRef", RESOURCE_FIELD_REF),
    field("mode", MODE),
]);

const OBJECT_PROJECTION: Kind = Kind::Object(&[
    required("name", OBJECT_NAME),
    field("items", Kind::List(&KEY_TO_PATH)),
    field("optional", Kind::Bool),
]);

const PROJECTION: Kind = Kind::Object(&[
    field("configMap", OBJECT_PROJECTION),
    field("secret", OBJECT_PROJECTION),
    field(
        "downwardAPI",
        Kind::Object(&[field("items", Kind::List(&DOWNWARD_FILE))]),
    ),
    field(
        "serviceAccountToken",
        Kind::Refused("there is no API server here to talk to; leave it out"),
    ),
    field("clusterTrustBundle", Kind::NotYet),
    field("podCertificate", Kind::NotYet),
]);

#[cfg(test)]
#[path = "fields_test.rs"]
mod tests;
