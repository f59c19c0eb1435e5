//! What the kubelet and containerd's CRI plugin work out for a Pod before its sandbox is made,
//! by `skete-pod`.

use std::sync::Arc;
use std::time::Duration;

use skete_cri_api::runtime::PodSandboxConfig;
use skete_network::PodNetwork;
use skete_pod::{Manifest, PodContext, PodPlan, RestartPolicy, Role};

use super::Input;
use super::plan::{ContainerPlan, Restart};
use crate::paths::Paths;
use crate::record::{PodId, PodRecord};

/// Why a Pod cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// What `skete run` left cannot be read again.
    #[error(transparent)]
    Manifest(#[from] skete_pod::ManifestError),
    /// The Pod cannot be planned.
    #[error(transparent)]
    Plan(#[from] skete_pod::PlanError),
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] skete_pod::WriteError),
    /// What was before the sandbox cannot be told.
    #[error("tell the engine what was downloaded")]
    Beginning(#[from] serde_json::Error),
    /// `skete run` has not said which image a container is of.
    #[error("image {0} was not looked up")]
    NoImage(String),
}

/// A Pod that is ready to be run.
pub struct Prepared {
    /// For the engine.
    pub sandbox: PodSandboxConfig,
    /// For the engine.
    pub annotations: Vec<(String, String)>,
    /// Init containers and side-cars first.
    pub containers: Vec<Arc<ContainerPlan>>,
    /// How long the Pod may run in all.
    pub active_deadline: Option<Duration>,
}

/// The Pod's grace period.
pub fn grace(record: &PodRecord) -> Duration {
    let seconds = record.spec["terminationGracePeriodSeconds"].as_u64();
    Duration::from_secs(seconds.unwrap_or(30))
}

/// Plans a Pod of this machine.
///
/// # Errors
/// Annotations or names do not fit.
pub fn plan(
    paths: &Paths,
    id: &PodId,
    uid: &str,
    manifest: &Manifest,
) -> Result<PodPlan, skete_pod::PlanError> {
    let run = paths.run_pod(id);
    let resolver = skete_network::dns::Resolver::of_host(std::path::Path::new("/"));
    let resolv_conf = resolver.map(|r| r.to_string()).unwrap_or_default();
    let node_name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    skete_pod::plan(
        manifest,
        &PodContext {
            uid,
            pods_dir: &run.join("kubelet"),
            sandbox_dir: &paths.sandbox_bundle(id),
            log_dir: &paths.pod(id).join("logs"),
            cgroup_parent: "",
            node_name: &node_name,
            resolv_conf: &resolv_conf,
        },
    )
}

/// Works everything out, and writes the Pod's files.
///
/// # Errors
/// Something of the Pod or its images does not fit, or a file cannot be written.
pub fn prepare(
    paths: &Paths,
    record: &PodRecord,
    input: &Input,
    network: &PodNetwork,
) -> Result<Prepared, PrepareError> {
    let json = input.manifest.to_string();
    let manifest = Manifest::parse(json.as_bytes(), "the Pod")?;
    let plan = plan(paths, &record.id, &record.uid, &manifest)?;
    plan.write_volumes()?;
    let addresses: Vec<_> = network.addresses.iter().map(|net| net.addr()).collect();
    plan.write_etc_files(&skete_pod::Addresses {
        pod: &addresses,
        host: &[],
    })?;
    let mut sandbox = plan.sandbox.clone();
    if let Some(hypervisor) = &input.hypervisor {
        let annotation = (
            skete_pod::annotations::HYPERVISOR.to_owned(),
            hypervisor.clone(),
        );
        sandbox.annotations.extend([annotation]);
    }
    let beginning = (
        skete_pod::annotations::USAGE.to_owned(),
        serde_json::to_string(&input.beginning)?,
    );
    sandbox.annotations.extend([beginning]);
    let annotations = vec![
        (
            skete_pod::annotations::CRI_CONTAINER_TYPE.to_owned(),
            "sandbox".to_owned(),
        ),
        (
            skete_pod::annotations::CRI_SANDBOX_ID.to_owned(),
            record.id.to_string(),
        ),
        (
            skete_pod::annotations::CRI_SANDBOX_NAMESPACE.to_owned(),
            record.namespace.clone(),
        ),
        (
            skete_pod::annotations::CRI_SANDBOX_UID.to_owned(),
            record.uid.clone(),
        ),
        (
            skete_pod::annotations::CRI_SANDBOX_NAME.to_owned(),
            record.name.clone(),
        ),
    ];
    let mut containers = Vec::new();
    for (place, container) in plan.all_containers().enumerate() {
        let image = input.images.get(&container.image).cloned();
        let image = image.ok_or_else(|| PrepareError::NoImage(container.image.clone()))?;
        containers.push(Arc::new(ContainerPlan {
            place: u8::try_from(place).unwrap_or(u8::MAX),
            name: container.name.clone(),
            init: container.role != Role::Main,
            sidecar: container.role == Role::Sidecar,
            restart: restart(plan.restart_policy, container.role),
            tty: container.tty,
            stdin: container.stdin,
            stop_signal: image.stop_signal,
            layers: image.layers,
            pod: container.clone(),
            image: image.config,
            sandbox_id: record.id.to_string(),
            addresses: addresses.clone(),
        }));
    }
    Ok(Prepared {
        sandbox,
        annotations,
        containers,
        active_deadline: plan.active_deadline,
    })
}

fn restart(policy: RestartPolicy, role: Role) -> Restart {
    match (role, policy) {
        (Role::Sidecar, _) => Restart::Always,
        // An init container that succeeded has done its work.
        (Role::Init, RestartPolicy::Always) => Restart::OnFailure,
        (_, RestartPolicy::Always) => Restart::Always,
        (_, RestartPolicy::OnFailure) => Restart::OnFailure,
        (_, RestartPolicy::Never) => Restart::Never,
    }
}
