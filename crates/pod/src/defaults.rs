//! What the API server fills in.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, ResourceRequirements, Volume};

/// Name of the namespace of a Pod that names none.
pub(crate) const NAMESPACE: &str = "default";
/// Seconds between the request to end and the kill.
pub(crate) const GRACE_SECONDS: i64 = 30;
const FILE_MODE: i32 = 0o644;

/// Fills in what is left out. `restartPolicy` becomes `Never`, not `Always`: see
/// [`Manifest`](crate::Manifest).
pub(crate) fn fill(pod: &mut Pod) {
    let namespace = &mut pod.metadata.namespace;
    namespace.get_or_insert_with(|| NAMESPACE.to_owned());
    let Some(spec) = &mut pod.spec else { return };
    fill_spec(spec);
}

pub(crate) fn fill_spec(spec: &mut PodSpec) {
    let text = str::to_owned;
    spec.restart_policy.get_or_insert_with(|| text("Never"));
    spec.dns_policy.get_or_insert_with(|| text("ClusterFirst"));
    spec.termination_grace_period_seconds
        .get_or_insert(GRACE_SECONDS);
    spec.security_context.get_or_insert_default();
    if let Some(resources) = &mut spec.resources {
        fill_resources(resources);
    }
    for volume in spec.volumes.iter_mut().flatten() {
        fill_volume(volume);
    }
    let init = spec.init_containers.iter_mut().flatten();
    for container in init.chain(&mut spec.containers) {
        fill_container(container);
    }
}

fn fill_container(container: &mut Container) {
    let image = container.image.as_deref().unwrap_or_default();
    let policy = if moves(image) {
        "Always"
    } else {
        "IfNotPresent"
    };
    container
        .image_pull_policy
        .get_or_insert_with(|| policy.to_owned());
    for port in container.ports.iter_mut().flatten() {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
    }
    if let Some(resources) = &mut container.resources {
        fill_resources(resources);
    }
    for env in container.env.iter_mut().flatten() {
        if let Some(field) = env.value_from.as_mut().and_then(|v| v.field_ref.as_mut()) {
            field.api_version.get_or_insert_with(|| "v1".to_owned());
        }
    }
}

/// Whether an image's name may mean another image tomorrow: no tag and no digest, or `latest`.
fn moves(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once(':') {
        Some((_, tag)) => tag == "latest",
        None => true,
    }
}

/// A limit without a request requests the limit.
fn fill_resources(resources: &mut ResourceRequirements) {
    for (name, limit) in resources.limits.iter().flatten() {
        let requests = resources.requests.get_or_insert_default();
        requests
            .entry(name.clone())
            .or_insert_with(|| limit.clone());
    }
}

fn fill_volume(volume: &mut Volume) {
    if let Some(source) = &mut volume.config_map {
        source.default_mode.get_or_insert(FILE_MODE);
    } else if let Some(source) = &mut volume.secret {
        source.default_mode.get_or_insert(FILE_MODE);
    } else if let Some(source) = &mut volume.downward_api {
        source.default_mode.get_or_insert(FILE_MODE);
    } else if let Some(source) = &mut volume.projected {
        source.default_mode.get_or_insert(FILE_MODE);
    } else {
        volume.empty_dir.get_or_insert_default();
    }
}
