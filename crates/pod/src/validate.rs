//! What the API server and the kubelet check across fields.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, Pod, PodSpec, ResourceRequirements, Secret,
};
use skete_cri_api::{Quantity, Size};

use crate::check::{Report, member};
use crate::env::{FieldPath, Scope};
use crate::{annotations, names, volumes};

/// The objects that a Pod may refer to.
#[derive(Clone, Copy)]
pub(crate) struct Objects<'a> {
    pub(crate) config_maps: &'a BTreeMap<String, ConfigMap>,
    pub(crate) secrets: &'a BTreeMap<String, Secret>,
}

impl Objects<'_> {
    /// Why a reference cannot be followed; `None` if it can, or need not.
    pub(crate) fn missing(
        &self,
        kind: ObjectKind,
        name: &str,
        key: Option<&str>,
        optional: Option<bool>,
    ) -> Option<String> {
        if optional == Some(true) {
            return None;
        }
        let has_key = |key: &str| match kind {
            ObjectKind::ConfigMap => self.config_maps.get(name).map(|map| {
                let text = map.data.as_ref().is_some_and(|data| data.contains_key(key));
                let binary = map.binary_data.as_ref();
                text || binary.is_some_and(|data| data.contains_key(key))
            }),
            ObjectKind::Secret => self.secrets.get(name).map(|secret| {
                let data = secret.data.as_ref();
                data.is_some_and(|data| data.contains_key(key))
            }),
        };
        match has_key(key.unwrap_or_default()) {
            None => Some(format!(
                "{kind} {name:?} is not in the file; put it beside the Pod, or say optional: true"
            )),
            Some(false) if key.is_some() => Some(format!(
                "{kind} {name:?} has no key {:?}",
                key.unwrap_or_default()
            )),
            Some(_) => None,
        }
    }
}

/// What a reference refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObjectKind {
    ConfigMap,
    Secret,
}

impl std::fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        })
    }
}

pub(crate) fn pod(pod: &Pod, objects: &Objects<'_>, report: &mut Report) {
    if pod.metadata.name.as_deref().unwrap_or_default().is_empty() {
        report.add("metadata.name", "is missing");
    }
    let Some(spec) = &pod.spec else { return };
    if spec.containers.is_empty() {
        report.add("spec.containers", "needs at least one container");
    }
    our_annotations(pod, spec, report);
    pod_level(spec, report);
    volumes::validate(spec, objects, report);

    let mut container_names = BTreeSet::new();
    let mut host_ports = BTreeSet::new();
    for (path, container, is_init) in all_containers(spec) {
        if !container_names.insert(container.name.as_str()) {
            let message = format!("a second container {:?}", container.name);
            report.add(&format!("{path}.name"), message);
        }
        if container.restart_policy.is_some() && !is_init {
            report.add(
                &format!("{path}.restartPolicy"),
                "is for initContainers; the Pod's spec.restartPolicy is for the others",
            );
        }
        environment(spec, container, objects, &path, report);
        ports(container, &path, &mut host_ports, report);
        mounts(spec, container, &path, report);
        if let Some(resources) = &container.resources {
            resource_requirements(resources, true, &format!("{path}.resources"), report);
        }
        security(spec, container, &path, report);
    }
}

/// Every container with its path, and whether it is an init container.
pub(crate) fn all_containers(spec: &PodSpec) -> impl Iterator<Item = (String, &Container, bool)> {
    let init = spec.init_containers.iter().flatten().enumerate();
    let init = init.map(|(i, c)| (format!("spec.initContainers[{i}]"), c, true));
    let main = spec.containers.iter().enumerate();
    init.chain(main.map(|(i, c)| (format!("spec.containers[{i}]"), c, false)))
}

/// Annotations of our own are fields like others: a wrong one is not ignored.
fn our_annotations(pod: &Pod, spec: &PodSpec, report: &mut Report) {
    let annotations = pod.metadata.annotations.iter().flatten();
    for (key, value) in annotations.filter(|(key, _)| key.starts_with("io.skete.")) {
        let path = member("metadata.annotations", key);
        match key.as_str() {
            annotations::VCPUS | annotations::MEMORY => {
                if let Err(error) = Size::check_annotation(key, value) {
                    report.add(&path, error.to_string());
                }
            }
            annotations::NETWORK if !matches!(value.as_str(), "default" | "none") => {
                report.add(&path, format!("{value:?} is not one of default, none"));
            }
            annotations::NETWORK | annotations::HYPERVISOR => {}
            annotations::EPHEMERAL_STORAGE if value.parse::<u64>().is_err() => {
                report.add(&path, format!("{value:?} is not a number of bytes"));
            }
            annotations::EPHEMERAL_STORAGE => {}
            _ => match key.strip_prefix(annotations::USER_PREFIX) {
                Some(name) if all_containers(spec).all(|(_, c, _)| c.name != name) => {
                    report.add(&path, format!("there is no container {name:?}"));
                }
                Some(_) => {}
                None => report.add(&path, "unknown annotation of Skete's"),
            },
        }
    }
}

fn pod_level(spec: &PodSpec, report: &mut Report) {
    if let Some(resources) = &spec.resources {
        resource_requirements(resources, false, "spec.resources", report);
    }
    let mut sysctls = BTreeSet::new();
    let security = spec.security_context.as_ref();
    let given = security.and_then(|s| s.sysctls.as_ref());
    for (index, sysctl) in given.into_iter().flatten().enumerate() {
        if !sysctls.insert(sysctl.name.replace('/', ".")) {
            let path = format!("spec.securityContext.sysctls[{index}].name");
            report.add(&path, format!("{:?} is given twice", sysctl.name));
        }
    }
    if let (Some(a), Some(b)) = (&spec.service_account, &spec.service_account_name)
        && a != b
    {
        report.add("spec.serviceAccount", "differs from serviceAccountName");
    }
    let dns = spec.dns_config.as_ref();
    let servers = dns.and_then(|d| d.nameservers.as_ref()).map_or(0, Vec::len);
    let searches = dns.and_then(|d| d.searches.as_ref()).map_or(0, Vec::len);
    if spec.dns_policy.as_deref() == Some("None") && servers == 0 {
        report.add(
            "spec.dnsConfig.nameservers",
            "needs at least one address, for dnsPolicy is None",
        );
    }
    if servers > 3 {
        report.add("spec.dnsConfig.nameservers", "at most 3 are allowed");
    }
    if searches > 32 {
        report.add("spec.dnsConfig.searches", "at most 32 are allowed");
    }
}

fn environment(
    spec: &PodSpec,
    container: &Container,
    objects: &Objects<'_>,
    path: &str,
    report: &mut Report,
) {
    for (index, source) in container.env_from.iter().flatten().enumerate() {
        let path = format!("{path}.envFrom[{index}]");
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if !prefix.is_empty()
            && let Err(message) = names::environment(prefix)
        {
            report.add(&format!("{path}.prefix"), message);
        }
        let missing = match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), None) => {
                objects.missing(ObjectKind::ConfigMap, &map.name, None, map.optional)
            }
            (None, Some(secret)) => {
                objects.missing(ObjectKind::Secret, &secret.name, None, secret.optional)
            }
            _ => Some("needs exactly one of configMapRef, secretRef".to_owned()),
        };
        if let Some(message) = missing {
            report.add(&path, message);
        }
    }
    for (index, env) in container.env.iter().flatten().enumerate() {
        let path = format!("{path}.env[{index}]");
        let Some(source) = &env.value_from else {
            continue;
        };
        let path = format!("{path}.valueFrom");
        if env.value.as_deref().is_some_and(|value| !value.is_empty()) {
            report.add(&path, "must not stand beside value");
        }
        let given = [
            source.config_map_key_ref.is_some(),
            source.secret_key_ref.is_some(),
            source.field_ref.is_some(),
            source.resource_field_ref.is_some(),
        ];
        if given.into_iter().filter(|given| *given).count() != 1 {
            report.add(
                &path,
                "needs exactly one of configMapKeyRef, secretKeyRef, fieldRef, resourceFieldRef",
            );
        }
        if let Some(r) = &source.config_map_key_ref {
            let kind = ObjectKind::ConfigMap;
            if let Some(message) = objects.missing(kind, &r.name, Some(&r.key), r.optional) {
                report.add(&format!("{path}.configMapKeyRef"), message);
            }
        }
        if let Some(r) = &source.secret_key_ref {
            let kind = ObjectKind::Secret;
            if let Some(message) = objects.missing(kind, &r.name, Some(&r.key), r.optional) {
                report.add(&format!("{path}.secretKeyRef"), message);
            }
        }
        if let Some(field) = &source.field_ref
            && let Err(error) = FieldPath::parse(&field.field_path, Scope::Environment)
        {
            report.add(&format!("{path}.fieldRef.fieldPath"), error.to_string());
        }
        if let Some(field) = &source.resource_field_ref {
            container_exists(spec, field.container_name.as_deref(), false, &path, report);
        }
    }
}

/// Checks the container that a `resourceFieldRef` names.
pub(crate) fn container_exists(
    spec: &PodSpec,
    name: Option<&str>,
    needed: bool,
    path: &str,
    report: &mut Report,
) {
    let path = format!("{path}.resourceFieldRef.containerName");
    match name.filter(|name| !name.is_empty()) {
        Some(name) if all_containers(spec).all(|(_, c, _)| c.name != name) => {
            report.add(&path, format!("there is no container {name:?}"));
        }
        None if needed => report.add(&path, "is missing"),
        _ => {}
    }
}

fn ports<'a>(
    container: &'a Container,
    path: &str,
    host_ports: &mut BTreeSet<(&'a str, &'a str, i32)>,
    report: &mut Report,
) {
    let mut port_names = BTreeSet::new();
    for (index, port) in container.ports.iter().flatten().enumerate() {
        let path = format!("{path}.ports[{index}]");
        if let Some(name) = &port.name
            && !port_names.insert(name.as_str())
        {
            report.add(&format!("{path}.name"), format!("a second port {name:?}"));
        }
        let host_port = port.host_port.unwrap_or(0);
        let protocol = port.protocol.as_deref().unwrap_or_default();
        let address = port.host_ip.as_deref().unwrap_or_default();
        if host_port != 0 && !host_ports.insert((address, protocol, host_port)) {
            let message = format!("{host_port}/{protocol} is published twice");
            report.add(&format!("{path}.hostPort"), message);
        }
        if host_port == 0 && !address.is_empty() {
            report.add(&format!("{path}.hostIP"), "has no hostPort beside it");
        }
    }
}

fn mounts(spec: &PodSpec, container: &Container, path: &str, report: &mut Report) {
    let mut paths = BTreeSet::new();
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = format!("{path}.volumeMounts[{index}]");
        let mut volumes = spec.volumes.iter().flatten();
        if volumes.all(|volume| volume.name != mount.name) {
            let message = format!("there is no volume {:?} in spec.volumes", mount.name);
            report.add(&format!("{path}.name"), message);
        }
        if !paths.insert(mount.mount_path.trim_end_matches('/')) {
            let message = format!("{:?} is mounted on twice", mount.mount_path);
            report.add(&format!("{path}.mountPath"), message);
        }
        if mount.mount_path.trim_end_matches('/').is_empty() {
            report.add(
                &format!("{path}.mountPath"),
                "the root belongs to the image",
            );
        }
        let filled = |text: &Option<String>| text.as_deref().is_some_and(|t| !t.is_empty());
        if filled(&mount.sub_path) && filled(&mount.sub_path_expr) {
            report.add(
                &format!("{path}.subPathExpr"),
                "must not stand beside subPath",
            );
        }
    }
}

fn resource_requirements(
    resources: &ResourceRequirements,
    ephemeral: bool,
    path: &str,
    report: &mut Report,
) {
    let maps = [
        ("limits", &resources.limits),
        ("requests", &resources.requests),
    ];
    for (what, map) in maps {
        for (name, quantity) in map.iter().flatten() {
            let path = member(&format!("{path}.{what}"), name);
            let limit = resources
                .limits
                .as_ref()
                .and_then(|limits| limits.get(name));
            if what == "requests" && limit == Some(quantity) {
                continue; // told already, and maybe a default
            }
            let Ok(quantity) = Quantity::parse(&quantity.0) else {
                continue; // told already
            };
            match name.as_str() {
                "cpu" if !quantity.is_whole_milli() => {
                    report.add(&path, "finer than a thousandth of a CPU");
                }
                "cpu" => {}
                "memory" | "ephemeral-storage" if name == "memory" || ephemeral => {
                    if !quantity.is_whole() {
                        report.add(&path, "not a whole number of bytes; \"m\" means thousandths, \"Mi\" and \"M\" mean megabytes");
                    }
                }
                _ => report.add(
                    &path,
                    "not honoured yet; cpu, memory and, for a container, ephemeral-storage are",
                ),
            }
            if what == "limits" && quantity == Quantity::default() && name == "memory" {
                report.add(&path, "a limit of nothing; leave it out for the default");
            }
        }
    }
    for (name, request) in resources.requests.iter().flatten() {
        let limit = resources
            .limits
            .as_ref()
            .and_then(|limits| limits.get(name));
        if let Some(limit) = limit
            && let (Ok(r), Ok(l)) = (Quantity::parse(&request.0), Quantity::parse(&limit.0))
            && r > l
        {
            let message = format!("{} is more than the limit {}", request.0, limit.0);
            report.add(&member(&format!("{path}.requests"), name), message);
        }
    }
}

fn security(spec: &PodSpec, container: &Container, path: &str, report: &mut Report) {
    let path = format!("{path}.securityContext");
    let own = container.security_context.as_ref();
    let pod = spec.security_context.as_ref();
    let user = own.and_then(|s| s.run_as_user);
    let user = user.or(pod.and_then(|s| s.run_as_user));
    let non_root = own.and_then(|s| s.run_as_non_root);
    let non_root = non_root.or(pod.and_then(|s| s.run_as_non_root));
    if non_root == Some(true) && user == Some(0) {
        report.add(&path, "runAsUser is 0, and runAsNonRoot forbids that");
    }
    let Some(own) = own else { return };
    if own.allow_privilege_escalation == Some(false) {
        let path = format!("{path}.allowPrivilegeEscalation");
        if own.privileged == Some(true) {
            report.add(&path, "cannot be false for a privileged container");
        }
        let added = own.capabilities.as_ref().and_then(|c| c.add.as_ref());
        let admin = |name: &String| matches!(name.as_str(), "SYS_ADMIN" | "CAP_SYS_ADMIN");
        if added.into_iter().flatten().any(admin) {
            report.add(&path, "cannot be false with the capability SYS_ADMIN");
        }
    }
}
