//! What Pods are aggregated and filtered by.

use skete_usage::PodUse;

use super::{Node, QueryError, UNALLOCATED};

/// A property of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Property {
    Cluster,
    Node,
    Namespace,
    ControllerKind,
    Controller,
    Service,
    Pod,
    Container,
    Uid,
    Label(String),
    Annotation(String),
}

impl Property {
    /// By its name in a filter; `key` is what stands in brackets.
    pub(super) fn named(name: &str, key: Option<&str>) -> Option<Self> {
        match (name, key) {
            ("label", Some(key)) => return Some(Self::Label(key.to_owned())),
            ("annotation", Some(key)) => return Some(Self::Annotation(key.to_owned())),
            (_, Some(_)) => return None,
            _ => {}
        }
        Some(match name {
            "cluster" => Self::Cluster,
            "node" => Self::Node,
            "namespace" => Self::Namespace,
            "controllerKind" => Self::ControllerKind,
            "controller" | "controllerName" => Self::Controller,
            "service" | "services" => Self::Service,
            "pod" => Self::Pod,
            "container" => Self::Container,
            "uid" => Self::Uid,
            _ => return None,
        })
    }

    /// A list with commas, as `aggregate` has it.
    pub(super) fn list(text: &str) -> Result<Vec<Self>, QueryError> {
        let one = |name: &str| {
            let found = match name.split_once(':') {
                Some((kind, key)) if !key.is_empty() => Self::named(kind, Some(key)),
                Some(_) => None,
                None => Self::named(name, None),
            };
            found.ok_or_else(|| {
                QueryError::value(
                    "aggregate",
                    format!(
                        "there is no {name:?}: want cluster, node, namespace, controllerKind, \
                         controller, service, pod, container, label:KEY or annotation:KEY"
                    ),
                )
            })
        };
        text.split(',').map(|name| one(name.trim())).collect()
    }

    /// A Pod's value, if it has one.
    pub(super) fn of<'a>(&self, used: &'a PodUse, node: &'a Node) -> Option<&'a str> {
        let pod = &used.pod;
        let controller = pod.controller.as_ref();
        match self {
            Self::Cluster => Some(&node.cluster),
            Self::Node => Some(&pod.node),
            Self::Namespace => Some(&pod.namespace),
            Self::ControllerKind => controller.map(|c| c.kind.as_str()),
            Self::Controller => controller.map(|c| c.name.as_str()),
            Self::Service | Self::Container => None,
            Self::Pod => Some(&pod.name),
            Self::Uid => Some(&pod.uid),
            Self::Label(key) => pod.labels.get(key).map(String::as_str),
            Self::Annotation(key) => pod.annotations.get(key).map(String::as_str),
        }
    }
}

/// The key of what is aggregated, as OpenCost writes it, but for Pods: their names are used again, by
/// other tenants too.
pub(super) fn key(properties: &[Property], used: &PodUse, node: &Node) -> String {
    let with_kind = !properties.contains(&Property::ControllerKind);
    let part = |property: &Property| {
        let Some(value) = property.of(used, node) else {
            return UNALLOCATED.to_owned();
        };
        match property {
            Property::Pod => format!("{value}@{}", used.pod.uid),
            Property::Label(key) | Property::Annotation(key) => format!("{key}={value}"),
            Property::Controller if with_kind => {
                let kind = Property::ControllerKind.of(used, node).unwrap_or_default();
                format!("{}:{value}", kind.to_lowercase())
            }
            _ => value.to_owned(),
        }
    };
    properties.iter().map(part).collect::<Vec<_>>().join("/")
}
