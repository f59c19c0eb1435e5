//! What the Pods of any workload ask for: to tell what they would cost, before they run anywhere.
//!
//! Of a Deployment, a Job or the like only what decides on the size of its Pods is read. Whether
//! Skete can run them is another question, which [`Manifest`](crate::Manifest) answers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::Value as Json;
use skete_cri_api::runtime::PodSandboxConfig;
use skete_cri_api::{DEFAULT_STORAGE_BYTES, Quantity, SizeError};

use crate::check::{Problem, Report, member};
use crate::fields::{self, Kind, field, required};
use crate::manifest::ManifestError;
use crate::plan::{ephemeral_storage, settle_size};
use crate::resources::{self, Bound};
use crate::tree::{self, Node, Value};
use crate::{annotations, defaults, validate};

/// A workload: Pods of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `Pod`, `Deployment`, `Job`, …
    pub kind: String,
    /// Its name, or the beginning of one that is made.
    pub name: String,
    /// Its namespace, `default` if it names none.
    pub namespace: String,
    /// How many Pods run at once.
    pub pods: PodCount,
    /// The labels of its Pods.
    pub labels: BTreeMap<String, String>,
    /// What one Pod asks for, by the scheduler's rule.
    pub requests: Resources,
    /// What one Pod may use; nothing where it names none.
    pub limits: Resources,
    /// What the VM of one Pod is made with.
    pub provisioned: Resources,
}

/// How many Pods of a workload run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodCount {
    /// So many.
    Fixed(u64),
    /// One on each node.
    PerNode,
}

/// Amounts of what a Pod has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a vCPU.
    pub milli_vcpus: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of ephemeral storage.
    pub storage_bytes: u64,
    /// Whole GPUs.
    pub gpus: u64,
}

/// The workloads of a file, and what else is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workloads {
    /// In the order of the file.
    pub workloads: Vec<Workload>,
    /// Kinds of the objects that are not known to make Pods, each once.
    pub others: Vec<String>,
}

impl Workloads {
    /// Reads YAML of any number of documents, or JSON: any Kubernetes objects, and Lists of them.
    ///
    /// # Errors
    /// Everything that is wrong with what decides on a Pod's size.
    pub fn parse(bytes: &[u8], source_name: &str) -> Result<Self, ManifestError> {
        let mut reader = Reader {
            source_name,
            found: Self::default(),
            problems: Vec::new(),
        };
        match tree::parse(bytes) {
            Ok(documents) => {
                for node in &documents {
                    reader.object(node, "");
                }
            }
            Err(error) => reader.problem(error.line(), "", &error.to_string()),
        }
        if reader.problems.is_empty() {
            return Ok(reader.found);
        }
        Err(ManifestError {
            problems: reader.problems,
        })
    }
}

const METADATA: Kind = Kind::Part(&[
    field("name", fields::ANY),
    field("generateName", fields::ANY),
    field("namespace", fields::ANY),
    field("labels", Kind::Map(any_key, &fields::ANY)),
    field("annotations", Kind::Map(any_key, &fields::ANY)),
]);
const CONTAINERS: Kind = Kind::List(&Kind::Part(&[
    field("name", fields::ANY),
    field("restartPolicy", fields::ANY),
    field("resources", RESOURCES),
]));
const RESOURCES: Kind = Kind::Part(&[
    field("limits", fields::AMOUNTS),
    field("requests", fields::AMOUNTS),
]);
const POD_SPEC: Kind = Kind::Part(&[
    required("containers", CONTAINERS),
    field("initContainers", CONTAINERS),
    field("resources", RESOURCES),
]);
const POD: Kind = Kind::Part(&[field("metadata", METADATA), required("spec", POD_SPEC)]);
const WORKLOAD: Kind = Kind::Part(&[field("metadata", METADATA), required("spec", WORKLOAD_SPEC)]);
const WORKLOAD_SPEC: Kind = Kind::Part(&[
    field("replicas", fields::COUNT),
    field("parallelism", fields::COUNT),
    field("completions", fields::COUNT),
    required("template", POD),
]);
const CRON_JOB: Kind = Kind::Part(&[
    field("metadata", METADATA),
    required("spec", Kind::Part(&[required("jobTemplate", WORKLOAD)])),
]);

fn any_key(_: &str) -> Result<(), String> {
    Ok(())
}

struct Reader<'a> {
    source_name: &'a str,
    found: Workloads,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, line: Option<u32>, path: &str, message: &str) {
        self.problems.push(Problem {
            source_name: self.source_name.to_owned(),
            line,
            path: path.to_owned(),
            message: message.to_owned(),
        });
    }

    /// Reads one object; `prefix` says where in the file it is.
    fn object(&mut self, node: &Node, prefix: &str) {
        let kind = node.get("kind").and_then(Node::text);
        let (table, template) = match kind {
            Some("Pod") => (&POD, ""),
            Some("CronJob") => (&CRON_JOB, "/spec/jobTemplate/spec/template"),
            Some(
                "Deployment"
                | "StatefulSet"
                | "ReplicaSet"
                | "ReplicationController"
                | "DaemonSet"
                | "Job",
            ) => (&WORKLOAD, "/spec/template"),
            Some("List") => {
                if let Some(Value::List(items)) = node.get("items").map(|items| &items.value) {
                    for (index, item) in items.iter().enumerate() {
                        let prefix = format!("{}[{index}]", member(prefix, "items"));
                        self.object(item, &prefix);
                    }
                }
                return;
            }
            Some(other) => {
                if !self.found.others.iter().any(|kind| kind == other) {
                    self.found.others.push(other.to_owned());
                }
                return;
            }
            None => {
                let line = (node.line > 0).then_some(node.line);
                let message = "is missing; a Kubernetes object begins with apiVersion and kind";
                self.problem(line, &member(prefix, "kind"), message);
                return;
            }
        };
        let mut report = Report::new(self.source_name, prefix);
        let json = report.check(table, node, "").unwrap_or_default();
        if report.problems.is_empty() {
            match workload(kind.unwrap_or_default(), &json, template) {
                Ok(workload) => self.found.workloads.push(workload),
                Err(message) => report.add("", message),
            }
        }
        self.problems.append(&mut report.problems);
    }
}

/// A workload out of an object that has been checked; `template` points to its Pod's.
fn workload(kind: &str, json: &Json, template: &str) -> Result<Workload, String> {
    let text = |path: &str| json.pointer(path).and_then(Json::as_str);
    let part = |path: &str| json.pointer(&format!("{template}{path}")).cloned();
    let count = |name: &str| {
        let above = template.strip_suffix("/template").unwrap_or_default();
        json.pointer(&format!("{above}/{name}"))
            .and_then(Json::as_u64)
    };
    let map = |path: &str| -> BTreeMap<String, String> {
        let map = part(path).and_then(|map| serde_json::from_value(map).ok());
        map.unwrap_or_default()
    };
    let mut spec: PodSpec = serde_json::from_value(part("/spec").unwrap_or_default())
        .map_err(|error| error.to_string())?;
    defaults::fill_spec(&mut spec);
    let pods = match kind {
        "Pod" => PodCount::Fixed(1),
        "DaemonSet" => PodCount::PerNode,
        "Job" | "CronJob" => {
            let parallelism = count("parallelism").unwrap_or(1);
            PodCount::Fixed(parallelism.min(count("completions").unwrap_or(u64::MAX)))
        }
        _ => PodCount::Fixed(count("replicas").unwrap_or(1)),
    };
    let name = text("/metadata/name").or_else(|| text("/metadata/generateName"));
    Ok(Workload {
        kind: kind.to_owned(),
        name: name.unwrap_or("-").to_owned(),
        namespace: text("/metadata/namespace").unwrap_or("default").to_owned(),
        pods,
        labels: map("/metadata/labels"),
        requests: asked(&spec, Bound::Request),
        limits: asked(&spec, Bound::Limit),
        provisioned: provisioned(&spec, map("/metadata/annotations"))
            .map_err(|error| error.to_string())?,
    })
}

/// What a Pod asks for, or may use at most.
fn asked(spec: &PodSpec, bound: Bound) -> Resources {
    let amount =
        |name: &str| -> Quantity { resources::total(spec, bound, name).unwrap_or_default() };
    let units = |quantity: Quantity| u64::try_from(quantity.ceil()).unwrap_or(0);
    Resources {
        milli_vcpus: u64::try_from(amount("cpu").milli_ceil()).unwrap_or(0),
        memory_bytes: units(amount("memory")),
        storage_bytes: units(amount("ephemeral-storage")),
        gpus: units(amount("nvidia.com/gpu")) + units(amount("amd.com/gpu")),
    }
}

/// What the VM of a Pod is made with: as the engine does it.
fn provisioned(
    spec: &PodSpec,
    annotations: BTreeMap<String, String>,
) -> Result<Resources, SizeError> {
    let mut sandbox = PodSandboxConfig {
        annotations: annotations.into_iter().collect(),
        ..PodSandboxConfig::default()
    };
    let size = settle_size(spec, &mut sandbox)?;
    let annotated = sandbox.annotations.get(annotations::EPHEMERAL_STORAGE);
    let limits = validate::all_containers(spec).map(|(_, c, _)| ephemeral_storage(c));
    let storage = annotated
        .and_then(|text| text.parse().ok())
        .or_else(|| limits.sum());
    Ok(Resources {
        milli_vcpus: u64::from(size.vcpus) * 1000,
        memory_bytes: size.guest_memory_mib() << 20,
        storage_bytes: storage.unwrap_or(DEFAULT_STORAGE_BYTES),
        gpus: asked(spec, Bound::Limit).gpus,
    })
}

#[cfg(test)]
#[path = "workload_test.rs"]
mod tests;
