//! Files: a Pod, and the ConfigMaps and Secrets beside it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use thiserror::Error;

use crate::check::{Problem, Report, member};
use crate::fields::{self, Kind};
use crate::random::generate_name;
use crate::tree::{self, Node, Value};
use crate::{defaults, validate};

/// Most problems that one answer tells.
const MAX_PROBLEMS: usize = 20;

/// A file that cannot be run, with everything that is wrong with it: a line for each.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", lines(.problems))]
pub struct ManifestError {
    /// At least one, in the order of the file.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if lines.len() > MAX_PROBLEMS {
        let more = lines.len() - MAX_PROBLEMS;
        lines.truncate(MAX_PROBLEMS);
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

/// A Pod with the ConfigMaps and Secrets that stand beside it, checked, defaults filled in.
///
/// Defaults are the API server's, with one exception: a Pod that does not say `restartPolicy` gets
/// `Never`, for that is what people expect of a command named `run`.
#[derive(Clone, PartialEq)]
pub struct Manifest {
    /// Every field that is set is honoured.
    pub pod: Pod,
    /// By name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// By name; `stringData` is merged into `data`.
    pub secrets: BTreeMap<String, Secret>,
}

/// Shows names only: what is in Secrets stays out of logs.
impl std::fmt::Debug for Manifest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manifest")
            .field("pod", &self.pod.metadata.name)
            .field("config_maps", &self.config_maps.keys())
            .field("secrets", &self.secrets.keys())
            .finish()
    }
}

impl Manifest {
    /// Reads YAML of one or more documents, or JSON: one Pod, any number of ConfigMaps and
    /// Secrets, and Lists of those.
    ///
    /// # Errors
    /// Everything that is wrong, each with `source_name`, the line where it is known, and the path
    /// of the field. A field that is not honoured is refused, never ignored.
    pub fn parse(bytes: &[u8], source_name: &str) -> Result<Self, ManifestError> {
        let mut reader = Reader::new(source_name);
        match tree::parse(bytes) {
            Ok(documents) => {
                for node in &documents {
                    reader.document(node, "");
                }
            }
            Err(error) => reader.problem(error.line(), "", &error.to_string()),
        }
        reader.finish()
    }

    /// Checks objects that were made by a program and fills in the defaults, as
    /// [`parse`](Self::parse) does with a file.
    ///
    /// # Errors
    /// As for [`parse`](Self::parse), without lines.
    pub fn new(pod: &Pod, source_name: &str) -> Result<Self, ManifestError> {
        let json = serde_json::to_vec(pod).unwrap_or_default();
        Self::parse(&json, source_name)
    }

    /// All of it as one Kubernetes `List` in JSON, which [`parse`](Self::parse) reads again.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut items = vec![json!(self.pod)];
        items.extend(self.config_maps.values().map(|object| json!(object)));
        items.extend(self.secrets.values().map(|object| json!(object)));
        json!({ "apiVersion": "v1", "kind": "List", "items": items })
    }
}

struct Reader<'a> {
    source_name: &'a str,
    problems: Vec<Problem>,
    pod: Option<(Pod, Report)>,
    pods: usize,
    config_maps: BTreeMap<String, ConfigMap>,
    secrets: BTreeMap<String, Secret>,
    namespaces: Vec<(String, Option<String>, Option<u32>)>,
}

impl<'a> Reader<'a> {
    fn new(source_name: &'a str) -> Self {
        Self {
            source_name,
            problems: Vec::new(),
            pod: None,
            pods: 0,
            config_maps: BTreeMap::new(),
            secrets: BTreeMap::new(),
            namespaces: Vec::new(),
        }
    }

    fn problem(&mut self, line: Option<u32>, path: &str, message: &str) {
        self.problems.push(Problem {
            source_name: self.source_name.to_owned(),
            line,
            path: path.to_owned(),
            message: message.to_owned(),
        });
    }

    /// Reads one object; `prefix` says where in the file it is.
    fn document(&mut self, node: &Node, prefix: &str) {
        let line = (node.line > 0).then_some(node.line);
        if !matches!(node.value, Value::Map(_)) {
            self.problem(line, prefix, "expected a Kubernetes object, found no map");
            return;
        }
        match node.get("kind").and_then(Node::text) {
            Some("Pod") => self.pod(node, prefix),
            Some("ConfigMap") => self.config_map(node, prefix),
            Some("Secret") => self.secret(node, prefix),
            Some("List") if prefix.is_empty() => self.list(node),
            Some(kind) => {
                let message = format!("{kind:?} is not one of Pod, ConfigMap, Secret, List");
                self.problem(line, &member(prefix, "kind"), &message);
            }
            None => self.problem(
                line,
                &member(prefix, "kind"),
                "is missing; a Pod begins with apiVersion: v1 and kind: Pod",
            ),
        }
    }

    fn list(&mut self, node: &Node) {
        let mut report = Report::new(self.source_name, "");
        report.check(&fields::LIST, node, "");
        self.problems.append(&mut report.problems);
        match node.get("items").map(|items| (&items.value, items.line)) {
            Some((Value::List(items), _)) => {
                for (index, item) in items.iter().enumerate() {
                    self.document(item, &format!("items[{index}]"));
                }
            }
            Some((_, line)) => self.problem((line > 0).then_some(line), "items", "expected a list"),
            None => {}
        }
    }

    /// Checks and reads an object; `None` if something is wrong with it.
    fn read<T: DeserializeOwned>(
        &mut self,
        kind: &Kind,
        node: &Node,
        prefix: &str,
    ) -> Option<(T, Report)> {
        let mut report = Report::new(self.source_name, prefix);
        let json = report.check(kind, node, "");
        if report.problems.is_empty() {
            match serde_json::from_value(json.unwrap_or_default()) {
                Ok(object) => return Some((object, report)),
                Err(error) => report.add("", error.to_string()),
            }
        }
        self.problems.append(&mut report.problems);
        None
    }

    fn pod(&mut self, node: &Node, prefix: &str) {
        self.pods += 1;
        if self.pods == 2 {
            let line = (node.line > 0).then_some(node.line);
            self.problem(line, prefix, "a second Pod; one file runs one Pod");
        }
        if let Some((pod, report)) = self.read(&fields::POD, node, prefix) {
            self.pod = Some((pod, report));
        }
    }

    fn config_map(&mut self, node: &Node, prefix: &str) {
        let Some((map, mut report)) = self.read::<ConfigMap>(&fields::CONFIG_MAP, node, prefix)
        else {
            return;
        };
        let name = self.object(&map.metadata, "ConfigMap", node, &mut report);
        let text = map
            .data
            .iter()
            .flatten()
            .map(|(key, value)| (key, value.len()));
        let binary = map.binary_data.iter().flatten();
        let binary = binary.map(|(key, value)| (key, value.0.len()));
        check_data(text.chain(binary), "binaryData", &mut report);
        if self.config_maps.contains_key(&name) {
            report.add("metadata.name", format!("a second ConfigMap {name:?}"));
        }
        self.problems.append(&mut report.problems);
        self.config_maps.insert(name, map);
    }

    fn secret(&mut self, node: &Node, prefix: &str) {
        let Some((mut secret, mut report)) = self.read::<Secret>(&fields::SECRET, node, prefix)
        else {
            return;
        };
        let name = self.object(&secret.metadata, "Secret", node, &mut report);
        // As the API server does: what is in stringData wins.
        for (key, value) in secret.string_data.take().into_iter().flatten() {
            let value = k8s_openapi::ByteString(value.into_bytes());
            secret.data.get_or_insert_default().insert(key, value);
        }
        let data = secret.data.iter().flatten();
        check_data(
            data.map(|(key, value)| (key, value.0.len())),
            "data",
            &mut report,
        );
        if self.secrets.contains_key(&name) {
            report.add("metadata.name", format!("a second Secret {name:?}"));
        }
        self.problems.append(&mut report.problems);
        self.secrets.insert(name, secret);
    }

    /// The object's name; its namespace is remembered until the Pod's is known.
    fn object(
        &mut self,
        metadata: &ObjectMeta,
        kind: &str,
        node: &Node,
        report: &mut Report,
    ) -> String {
        let name = metadata.name.clone().unwrap_or_default();
        if name.is_empty() {
            report.add("metadata.name", "is missing");
        }
        let line = (node.line > 0).then_some(node.line);
        let what = format!("{kind} {name:?}");
        self.namespaces
            .push((what, metadata.namespace.clone(), line));
        name
    }

    fn finish(mut self) -> Result<Manifest, ManifestError> {
        if self.pods == 0 && self.problems.is_empty() {
            self.problem(None, "", "there is no Pod in it");
        }
        if let Some((pod, report)) = &mut self.pod {
            defaults::fill(pod);
            if let Err(error) = name(&mut pod.metadata) {
                report.add("metadata.generateName", error.to_string());
            }
            let objects = validate::Objects {
                config_maps: &self.config_maps,
                secrets: &self.secrets,
            };
            // A reference to an object that was refused would only be told twice.
            if self.problems.is_empty() {
                validate::pod(pod, &objects, report);
            }
            let namespace = pod.metadata.namespace.clone().unwrap_or_default();
            self.problems.append(&mut report.problems);
            for (what, other, line) in std::mem::take(&mut self.namespaces) {
                let other = other.unwrap_or_else(|| namespace.clone());
                if other != namespace {
                    let message =
                        format!("{what} is in namespace {other:?}, the Pod in {namespace:?}");
                    self.problem(line, "", &message);
                }
            }
        }
        match self.pod {
            Some((pod, _)) if self.problems.is_empty() => Ok(Manifest {
                pod,
                config_maps: self.config_maps,
                secrets: self.secrets,
            }),
            _ => Err(ManifestError {
                problems: self.problems,
            }),
        }
    }
}

/// Makes a name where only `generateName` is given.
fn name(metadata: &mut ObjectMeta) -> std::io::Result<()> {
    let base = metadata.generate_name.as_deref().unwrap_or_default();
    if metadata.name.is_none() && !base.is_empty() {
        metadata.name = Some(generate_name(base)?);
    }
    Ok(())
}

/// The API server's bounds of an object's data: 1 MiB in all, and no key in both maps.
fn check_data<'a>(
    entries: impl Iterator<Item = (&'a String, usize)>,
    second: &str,
    report: &mut Report,
) {
    let mut keys = std::collections::BTreeSet::new();
    let mut total = 0;
    for (key, length) in entries {
        total += length;
        if !keys.insert(key) {
            report.add(&member(second, key), "is in data, too");
        }
    }
    if total > 1 << 20 {
        report.add("data", format!("{total} bytes; at most 1 MiB is allowed"));
    }
}

#[cfg(test)]
#[path = "manifest_test.rs"]
mod tests;
