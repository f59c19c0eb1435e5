//! Volumes: what is in them, and where the kubelet keeps them on the host.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, PodSpec, Secret, Volume,
};
use serde::{Deserialize, Serialize};

use skete_cri_api::{Quantity, Size};

use crate::check::Report;
use crate::env::{FieldPath, Scope, resource_field};
use crate::validate::{ObjectKind, Objects, container_exists};

/// A volume of a Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumePlan {
    /// As in `spec.volumes[].name`.
    pub name: String,
    /// What it is.
    pub source: VolumeSource,
}

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// Files that are known beforehand; containers see them read-only.
    Files(FilesVolume),
    /// A directory that is empty at first and lives in the guest.
    EmptyDir(EmptyDir),
}

/// Which of the kubelet's volume plugins a volume of files belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilesKind {
    /// `configMap`
    ConfigMap,
    /// `secret`
    Secret,
    /// `downwardAPI`
    DownwardApi,
    /// `projected`
    Projected,
}

/// The files of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesVolume {
    /// Where they come from.
    pub kind: FilesKind,
    /// By path, relative to the volume.
    pub files: BTreeMap<String, VolumeFile>,
}

/// A file of a volume.
#[derive(Clone, PartialEq, Eq)]
pub struct VolumeFile {
    /// Permission bits.
    pub mode: u32,
    /// Maybe a secret, hence not shown by `Debug`.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for VolumeFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "VolumeFile({:o}, {} bytes)",
            self.mode,
            self.content.len()
        )
    }
}

/// Where an emptyDir lives, and how much it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmptyDir {
    /// In the guest's memory, not on its scratch disk.
    #[serde(default)]
    pub memory: bool,
    /// In bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_limit: Option<u64>,
}

impl VolumePlan {
    /// The volume's directory in the kubelet's layout, `pod_dir` being the Pod's.
    #[must_use]
    pub fn dir(&self, pod_dir: &Path) -> PathBuf {
        let plugin = match &self.source {
            VolumeSource::EmptyDir(_) => "kubernetes.io~empty-dir",
            VolumeSource::Files(files) => match files.kind {
                FilesKind::ConfigMap => "kubernetes.io~configmap",
                FilesKind::Secret => "kubernetes.io~secret",
                FilesKind::DownwardApi => "kubernetes.io~downward-api",
                FilesKind::Projected => "kubernetes.io~projected",
            },
        };
        pod_dir.join("volumes").join(plugin).join(&self.name)
    }

    /// Whether containers may only read it, whatever their mounts say.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        matches!(self.source, VolumeSource::Files(_))
    }
}

pub(crate) fn validate(spec: &PodSpec, objects: &Objects<'_>, report: &mut Report) {
    let mut names = BTreeSet::new();
    for (index, volume) in spec.volumes.iter().flatten().enumerate() {
        let path = format!("spec.volumes[{index}]");
        if !names.insert(volume.name.as_str()) {
            let message = format!("a second volume {:?}", volume.name);
            report.add(&format!("{path}.name"), message);
        }
        let sources = [
            volume.empty_dir.is_some(),
            volume.config_map.is_some(),
            volume.secret.is_some(),
            volume.downward_api.is_some(),
            volume.projected.is_some(),
        ];
        if sources.into_iter().filter(|given| *given).count() != 1 {
            report.add(
                &path,
                "needs exactly one of emptyDir, configMap, secret, downwardAPI, projected",
            );
            continue;
        }
        let mut paths = Paths::default();
        if let Some(v) = &volume.config_map {
            let path = format!("{path}.configMap");
            let reference = (ObjectKind::ConfigMap, v.name.as_str(), v.optional);
            keys(
                reference,
                v.items.as_deref(),
                objects,
                &path,
                &mut paths,
                report,
            );
        } else if let Some(v) = &volume.secret {
            let path = format!("{path}.secret");
            let name = v.secret_name.as_deref().unwrap_or_default();
            let reference = (ObjectKind::Secret, name, v.optional);
            keys(
                reference,
                v.items.as_deref(),
                objects,
                &path,
                &mut paths,
                report,
            );
        } else if let Some(v) = &volume.downward_api {
            let path = format!("{path}.downwardAPI");
            downward(spec, v.items.as_deref(), &path, &mut paths, report);
        }
        let sources = volume.projected.as_ref().and_then(|v| v.sources.as_ref());
        for (index, source) in sources.into_iter().flatten().enumerate() {
            let path = format!("{path}.projected.sources[{index}]");
            match (&source.config_map, &source.secret, &source.downward_api) {
                (Some(v), None, None) => {
                    let path = format!("{path}.configMap");
                    let reference = (ObjectKind::ConfigMap, v.name.as_str(), v.optional);
                    keys(
                        reference,
                        v.items.as_deref(),
                        objects,
                        &path,
                        &mut paths,
                        report,
                    );
                }
                (None, Some(v), None) => {
                    let path = format!("{path}.secret");
                    let reference = (ObjectKind::Secret, v.name.as_str(), v.optional);
                    keys(
                        reference,
                        v.items.as_deref(),
                        objects,
                        &path,
                        &mut paths,
                        report,
                    );
                }
                (None, None, Some(v)) => {
                    let path = format!("{path}.downwardAPI");
                    downward(spec, v.items.as_deref(), &path, &mut paths, report);
                }
                _ => report.add(&path, "needs exactly one of configMap, secret, downwardAPI"),
            }
        }
    }
}

/// The paths that a volume's items take.
#[derive(Default)]
struct Paths(BTreeSet<String>);

impl Paths {
    fn add(&mut self, file: &str, path: &str, report: &mut Report) {
        let below = format!("{file}/");
        let next = self.0.range(below.clone()..).next();
        let is_parent = next.is_some_and(|other| other.starts_with(&below));
        let mut parents = file.match_indices('/').map(|(at, _)| &file[..at]);
        if is_parent || self.0.contains(file) || parents.any(|parent| self.0.contains(parent)) {
            report.add(path, format!("{file:?} is in the way of another item"));
        }
        self.0.insert(file.to_owned());
    }
}

fn keys(
    (kind, name, optional): (ObjectKind, &str, Option<bool>),
    items: Option<&[KeyToPath]>,
    objects: &Objects<'_>,
    path: &str,
    paths: &mut Paths,
    report: &mut Report,
) {
    if let Some(message) = objects.missing(kind, name, None, optional) {
        report.add(path, message);
        return;
    }
    for (index, item) in items.into_iter().flatten().enumerate() {
        let path = format!("{path}.items[{index}]");
        if let Some(message) = objects.missing(kind, name, Some(&item.key), optional) {
            report.add(&format!("{path}.key"), message);
        }
        paths.add(&item.path, &format!("{path}.path"), report);
    }
}

fn downward(
    spec: &PodSpec,
    items: Option<&[DownwardAPIVolumeFile]>,
    path: &str,
    paths: &mut Paths,
    report: &mut Report,
) {
    for (index, item) in items.into_iter().flatten().enumerate() {
        let path = format!("{path}.items[{index}]");
        paths.add(&item.path, &format!("{path}.path"), report);
        match (&item.field_ref, &item.resource_field_ref) {
            (Some(field), None) => {
                if let Err(error) = FieldPath::parse(&field.field_path, Scope::Volume) {
                    report.add(&format!("{path}.fieldRef.fieldPath"), error.to_string());
                }
            }
            (None, Some(field)) => {
                container_exists(spec, field.container_name.as_deref(), true, &path, report);
            }
            _ => report.add(&path, "needs exactly one of fieldRef, resourceFieldRef"),
        }
    }
}

/// The volumes of a checked Pod.
pub(crate) fn plan(pod: &Pod, objects: &Objects<'_>, size: Size) -> Vec<VolumePlan> {
    let Some(spec) = &pod.spec else {
        return Vec::new();
    };
    let sources = Sources {
        pod,
        spec,
        objects,
        size,
    };
    let volumes = spec.volumes.iter().flatten();
    volumes.map(|volume| sources.volume(volume)).collect()
}

struct Sources<'a> {
    pod: &'a Pod,
    spec: &'a PodSpec,
    objects: &'a Objects<'a>,
    size: Size,
}

impl Sources<'_> {
    fn volume(&self, volume: &Volume) -> VolumePlan {
        let mut files = BTreeMap::new();
        let kind = if let Some(v) = &volume.config_map {
            self.config_map(&v.name, v.items.as_deref(), v.default_mode, &mut files);
            FilesKind::ConfigMap
        } else if let Some(v) = &volume.secret {
            let name = v.secret_name.as_deref().unwrap_or_default();
            self.secret(name, v.items.as_deref(), v.default_mode, &mut files);
            FilesKind::Secret
        } else if let Some(v) = &volume.downward_api {
            self.downward(v.items.as_deref(), v.default_mode, &mut files);
            FilesKind::DownwardApi
        } else if let Some(v) = &volume.projected {
            for source in v.sources.iter().flatten() {
                if let Some(s) = &source.config_map {
                    self.config_map(&s.name, s.items.as_deref(), v.default_mode, &mut files);
                } else if let Some(s) = &source.secret {
                    self.secret(&s.name, s.items.as_deref(), v.default_mode, &mut files);
                } else if let Some(s) = &source.downward_api {
                    self.downward(s.items.as_deref(), v.default_mode, &mut files);
                }
            }
            FilesKind::Projected
        } else {
            return VolumePlan {
                name: volume.name.clone(),
                source: VolumeSource::EmptyDir(empty_dir(volume)),
            };
        };
        VolumePlan {
            name: volume.name.clone(),
            source: VolumeSource::Files(FilesVolume { kind, files }),
        }
    }

    fn config_map(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        default_mode: Option<i32>,
        files: &mut BTreeMap<String, VolumeFile>,
    ) {
        let Some(map) = self.objects.config_maps.get(name) else {
            return; // optional
        };
        project(&config_map_data(map), items, default_mode, files);
    }

    fn secret(
        &self,
        name: &str,
        items: Option<&[KeyToPath]>,
        default_mode: Option<i32>,
        files: &mut BTreeMap<String, VolumeFile>,
    ) {
        let Some(secret) = self.objects.secrets.get(name) else {
            return; // optional
        };
        project(&secret_data(secret), items, default_mode, files);
    }

    fn downward(
        &self,
        items: Option<&[DownwardAPIVolumeFile]>,
        default_mode: Option<i32>,
        files: &mut BTreeMap<String, VolumeFile>,
    ) {
        for item in items.into_iter().flatten() {
            let content = if let Some(field) = &item.field_ref {
                let path = FieldPath::parse(&field.field_path, Scope::Volume).ok();
                path.and_then(|path| path.of(self.pod)).unwrap_or_default()
            } else if let Some(field) = &item.resource_field_ref {
                resource_field(self.spec, None, field, self.size)
            } else {
                String::new()
            };
            let file = VolumeFile {
                mode: mode(item.mode.or(default_mode)),
                content: content.into_bytes(),
            };
            files.insert(item.path.clone(), file);
        }
    }
}

fn config_map_data(map: &ConfigMap) -> BTreeMap<&str, &[u8]> {
    let text = map.data.iter().flatten();
    let text = text.map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = map.binary_data.iter().flatten();
    let binary = binary.map(|(key, value)| (key.as_str(), value.0.as_slice()));
    text.chain(binary).collect()
}

fn secret_data(secret: &Secret) -> BTreeMap<&str, &[u8]> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.as_str(), value.0.as_slice()))
        .collect()
}

/// All keys, or those that `items` name, under their paths.
fn project(
    data: &BTreeMap<&str, &[u8]>,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
    files: &mut BTreeMap<String, VolumeFile>,
) {
    let mut add = |path: &str, mode: u32, content: &[u8]| {
        let content = content.to_vec();
        files.insert(path.to_owned(), VolumeFile { mode, content });
    };
    match items.filter(|items| !items.is_empty()) {
        None => {
            for (key, content) in data {
                add(key, mode(default_mode), content);
            }
        }
        Some(items) => {
            for item in items {
                if let Some(content) = data.get(item.key.as_str()) {
                    add(&item.path, mode(item.mode.or(default_mode)), content);
                }
            }
        }
    }
}

fn mode(mode: Option<i32>) -> u32 {
    mode.and_then(|m| u32::try_from(m).ok()).unwrap_or(0o644) & 0o777
}

fn empty_dir(volume: &Volume) -> EmptyDir {
    let source = volume.empty_dir.clone().unwrap_or_default();
    let limit = source.size_limit.and_then(|q| Quantity::parse(&q.0).ok());
    EmptyDir {
        memory: source.medium.as_deref() == Some("Memory"),
        size_limit: limit
            .and_then(|limit| u64::try_from(limit.ceil()).ok())
            .filter(|limit| *limit > 0),
    }
}
