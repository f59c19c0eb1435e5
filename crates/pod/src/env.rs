//! A container's environment, and the fields of a Pod that it may name.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceFieldSelector};
use skete_cri_api::{Quantity, Size};
use thiserror::Error;

use crate::expand::expand;
use crate::resources::amount;
use crate::validate::{Objects, all_containers};

/// Where a field of the Pod is asked for; not every field is known everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Environment,
    Volume,
}

/// Why a `fieldPath` is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum FieldPathError {
    #[error("{0:?} is not a field that can be asked for; {1} can")]
    Unknown(String, &'static str),
    #[error("{0:?} has to be {1}['KEY']")]
    Subscript(String, &'static str),
}

const EVERYWHERE: &str = "metadata.name, metadata.namespace, metadata.uid, metadata.labels['KEY'], metadata.annotations['KEY']";

/// A field of the Pod that a container may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FieldPath {
    Name,
    Namespace,
    Uid,
    Label(String),
    Annotation(String),
    /// All of them, as a file shows them.
    Labels,
    Annotations,
    NodeName,
    ServiceAccountName,
    PodIp,
    PodIps,
    HostIp,
    HostIps,
}

impl FieldPath {
    pub(crate) fn parse(path: &str, scope: Scope) -> Result<Self, FieldPathError> {
        let environment = scope == Scope::Environment;
        Ok(match path {
            "metadata.name" => Self::Name,
            "metadata.namespace" => Self::Namespace,
            "metadata.uid" => Self::Uid,
            "metadata.labels" if !environment => Self::Labels,
            "metadata.annotations" if !environment => Self::Annotations,
            "metadata.labels" => return Err(subscript(path, "metadata.labels")),
            "metadata.annotations" => return Err(subscript(path, "metadata.annotations")),
            "spec.nodeName" if environment => Self::NodeName,
            "spec.serviceAccountName" if environment => Self::ServiceAccountName,
            "status.podIP" if environment => Self::PodIp,
            "status.podIPs" if environment => Self::PodIps,
            "status.hostIP" if environment => Self::HostIp,
            "status.hostIPs" if environment => Self::HostIps,
            _ => {
                if let Some(key) = key_of(path, "metadata.labels") {
                    Self::Label(key)
                } else if let Some(key) = key_of(path, "metadata.annotations") {
                    Self::Annotation(key)
                } else {
                    let known = if environment {
                        "metadata.name, .namespace, .uid, .labels['KEY'], .annotations['KEY'], spec.nodeName, spec.serviceAccountName, status.podIP, .podIPs, .hostIP, .hostIPs"
                    } else {
                        EVERYWHERE
                    };
                    return Err(FieldPathError::Unknown(path.to_owned(), known));
                }
            }
        })
    }

    /// The field's value; `None` for those that only a running Pod has.
    pub(crate) fn of(&self, pod: &Pod) -> Option<String> {
        let metadata = &pod.metadata;
        let spec = pod.spec.as_ref();
        let entry = |map: &Option<BTreeMap<String, String>>, key: &str| {
            map.as_ref().and_then(|m| m.get(key)).cloned()
        };
        let all = |map: &Option<BTreeMap<String, String>>| {
            let lines = map.iter().flatten().map(|(k, v)| format!("{k}={v:?}"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let text = match self {
            Self::Name => metadata.name.clone(),
            Self::Namespace => metadata.namespace.clone(),
            Self::Uid => metadata.uid.clone(),
            Self::Label(key) => entry(&metadata.labels, key),
            Self::Annotation(key) => entry(&metadata.annotations, key),
            Self::Labels => Some(all(&metadata.labels)),
            Self::Annotations => Some(all(&metadata.annotations)),
            Self::NodeName => spec.and_then(|s| s.node_name.clone()),
            Self::ServiceAccountName => spec
                .and_then(|s| s.service_account_name.clone().or(s.service_account.clone()))
                .or(Some("default".to_owned())),
            Self::PodIp | Self::PodIps | Self::HostIp | Self::HostIps => return None,
        };
        Some(text.unwrap_or_default())
    }
}

fn subscript(path: &str, base: &'static str) -> FieldPathError {
    FieldPathError::Subscript(path.to_owned(), base)
}

fn key_of(path: &str, base: &str) -> Option<String> {
    let key = path.strip_prefix(base)?.strip_prefix("['")?;
    key.strip_suffix("']").map(str::to_owned)
}

/// Addresses that are known once the Pod's network is set up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addresses<'a> {
    /// The Pod's, the first family first.
    pub pod: &'a [IpAddr],
    /// The machine's, likewise.
    pub host: &'a [IpAddr],
}

/// A variable, as far as it is known before the network is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Variable {
    /// References to variables before it are still to be replaced.
    Template(String, String),
    Plain(String, String),
    Address(String, FieldPath),
}

/// Values may be secrets, so only names are shown.
impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Template(name, _) | Self::Plain(name, _) | Self::Address(name, _)) = self;
        f.write_str(name)
    }
}

/// The variables of a container in the order in which they are set.
pub(crate) fn variables(
    pod: &Pod,
    container: &Container,
    objects: &Objects<'_>,
    size: Size,
) -> Vec<Variable> {
    let mut variables = Vec::new();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let map = source.config_map_ref.as_ref();
        let map = map.and_then(|r| objects.config_maps.get(&r.name));
        for (key, value) in map.and_then(|map| map.data.as_ref()).into_iter().flatten() {
            variables.push(Variable::Plain(format!("{prefix}{key}"), value.clone()));
        }
        let secret = source.secret_ref.as_ref();
        let secret = secret.and_then(|r| objects.secrets.get(&r.name));
        for (key, value) in secret.and_then(|s| s.data.as_ref()).into_iter().flatten() {
            variables.push(Variable::Plain(format!("{prefix}{key}"), text(&value.0)));
        }
    }
    for env in container.env.iter().flatten() {
        let name = env.name.clone();
        let Some(source) = &env.value_from else {
            let value = env.value.clone().unwrap_or_default();
            variables.push(Variable::Template(name, value));
            continue;
        };
        if let Some(field) = &source.field_ref {
            if let Ok(path) = FieldPath::parse(&field.field_path, Scope::Environment) {
                variables.push(match path.of(pod) {
                    Some(value) => Variable::Plain(name, value),
                    None => Variable::Address(name, path),
                });
            }
            continue;
        }
        let value = if let Some(r) = &source.config_map_key_ref {
            let map = objects.config_maps.get(&r.name);
            let data = map.and_then(|map| map.data.as_ref());
            data.and_then(|data| data.get(&r.key)).cloned()
        } else if let Some(r) = &source.secret_key_ref {
            let secret = objects.secrets.get(&r.name);
            let data = secret.and_then(|secret| secret.data.as_ref());
            data.and_then(|data| data.get(&r.key)).map(|v| text(&v.0))
        } else if let Some(field) = &source.resource_field_ref {
            let spec = pod.spec.as_ref();
            spec.map(|spec| resource_field(spec, Some(container), field, size))
        } else {
            None
        };
        // What is optional and absent is not set at all.
        if let Some(value) = value {
            variables.push(Variable::Plain(name, value));
        }
    }
    variables
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The value of a `resourceFieldRef`: what is not limited is limited by the VM.
pub(crate) fn resource_field(
    spec: &PodSpec,
    container: Option<&Container>,
    field: &ResourceFieldSelector,
    size: Size,
) -> String {
    let name = field.container_name.as_deref().unwrap_or_default();
    let named = all_containers(spec).find(|(_, c, _)| c.name == name);
    let container = named.map(|(_, c, _)| c).or(container);
    let (what, resource) = field.resource.split_once('.').unwrap_or_default();
    let resources = container.and_then(|c| c.resources.as_ref());
    let given = resources.and_then(|r| match what {
        "limits" => amount(r.limits.as_ref(), resource),
        _ => amount(r.requests.as_ref(), resource),
    });
    let amount = given.unwrap_or(match (what, resource) {
        ("limits", "cpu") => Quantity::units(u64::from(size.vcpus)),
        ("limits", "memory") => Quantity::units(size.memory_mib << 20),
        _ => Quantity::default(),
    });
    let divisor = field.divisor.as_ref();
    let divisor = divisor.and_then(|d| Quantity::parse(&d.0).ok());
    let one = Quantity::units(1);
    let divisor = divisor.filter(|d| *d != Quantity::default()).unwrap_or(one);
    amount.div_ceil(divisor).to_string()
}

/// Sets the variables one after the other: names and values, each name once, in order.
pub(crate) fn resolve(variables: &[Variable], addresses: &Addresses<'_>) -> Vec<(String, String)> {
    let mut set: Vec<(String, String)> = Vec::new();
    for variable in variables {
        let (name, value) = match variable {
            Variable::Plain(name, value) => (name, value.clone()),
            Variable::Template(name, value) => (name, expand(value, |n| lookup(&set, n))),
            Variable::Address(name, path) => (name, address(path, addresses)),
        };
        match set.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => set.push((name.clone(), value)),
        }
    }
    set
}

pub(crate) fn lookup(set: &[(String, String)], name: &str) -> Option<String> {
    let found = set.iter().find(|(n, _)| n == name);
    found.map(|(_, value)| value.clone())
}

fn address(path: &FieldPath, addresses: &Addresses<'_>) -> String {
    let first = |list: &[IpAddr]| list.first().map(ToString::to_string).unwrap_or_default();
    let all = |list: &[IpAddr]| {
        let list: Vec<_> = list.iter().map(ToString::to_string).collect();
        list.join(",")
    };
    match path {
        FieldPath::PodIps => all(addresses.pod),
        FieldPath::HostIp => first(addresses.host),
        FieldPath::HostIps => all(addresses.host),
        _ => first(addresses.pod),
    }
}

#[cfg(test)]
#[path = "env_test.rs"]
mod tests;
