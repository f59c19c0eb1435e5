//! From a registry into the store.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::digest::Digest;
use crate::error::Error as Outer;
use crate::fetch::{self, Wanted};
use crate::layer::{self, Bytes};
use crate::limits::{Limits, Timeouts};
use crate::manifest::{self, Document, Manifest};
use crate::platform::Platform;
use crate::progress::{Event, Progress, Silent};
use crate::reference::{self, Reference};
use crate::registry::{self, Access, Credentials, DockerConfig, Registries, Repository};
use crate::stop::Stop;
use crate::store::{self, Image, Store};

/// How deep indexes may hold indexes.
const MAX_NESTING: usize = 3;

/// An image was not pulled. It is named by the error around this one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not in the store, and pulling was forbidden.
    #[error("it is not in the store, and the pull policy is never; pull or load it first")]
    NotPresent,
    /// The registry did not give it.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// Its manifest or configuration cannot be used.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// One of its layers cannot be used.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Docker's configuration cannot be used.
    #[error(transparent)]
    Docker(#[from] registry::CredentialsError),
}

/// When to ask the registry (Kubernetes' `imagePullPolicy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Always ask, and fetch what the store does not have.
    Always,
    /// Only if the store has no image of this name and platform.
    #[default]
    Missing,
    /// Never.
    Never,
}

impl FromStr for Policy {
    type Err = String;

    /// Takes podman's words (`always`, `missing`, `never`) and Kubernetes' (`IfNotPresent`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "always" => Ok(Self::Always),
            "missing" | "ifnotpresent" => Ok(Self::Missing),
            "never" => Ok(Self::Never),
            _ => Err(format!(
                "{text:?} is not a pull policy; want always, missing or never"
            )),
        }
    }
}

/// How to pull.
#[derive(Clone)]
#[non_exhaustive]
pub struct PullOptions {
    /// The platform to choose from an index: this machine's.
    pub platform: Platform,
    /// When to ask the registry: if the image is missing.
    pub policy: Policy,
    /// Credentials for the image's registry, in place of docker's.
    pub credentials: Option<Credentials>,
    /// Docker's configuration file: `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`.
    pub docker_config: Option<PathBuf>,
    /// Mirrors, plain-HTTP registries, certificates: none.
    pub registries: Registries,
    /// What is told of the steps: nothing.
    pub progress: Arc<dyn Progress>,
    /// Ends the pull from another thread.
    pub stop: Stop,
    /// Bounds on the image.
    pub limits: Limits,
    /// How long the registry may take.
    pub timeouts: Timeouts,
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            platform: Platform::host(),
            policy: Policy::default(),
            credentials: None,
            docker_config: DockerConfig::default_path(),
            registries: Registries::default(),
            progress: Arc::new(Silent),
            stop: Stop::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Store {
    /// Pulls an image and gives it its name, unless the policy says that the store's will do.
    ///
    /// # Errors
    /// When the registry, the image or the disk does not allow it. Layers that were complete
    /// before stay for the next try (or for a prune); nothing half-made does.
    pub fn pull(&self, reference: &Reference, options: &PullOptions) -> Result<Image, Outer> {
        let name = reference.whole();
        pull(self, reference, &name, options).map_err(|source| Outer::Pull {
            image: name,
            source: source.into(),
        })
    }
}

fn pull(
    store: &Store,
    reference: &Reference,
    name: &str,
    options: &PullOptions,
) -> Result<Image, Error> {
    if options.policy != Policy::Always {
        let present = match store.get(name) {
            // An image that lost a layer is as good as none where it can be pulled again.
            Err(store::Error::LayerGone { .. }) if options.policy == Policy::Missing => None,
            result => result?,
        };
        match present {
            Some(image) if options.platform.distance(&image.platform).is_some() => {
                return Ok(image);
            }
            _ if options.policy == Policy::Never => return Err(Error::NotPresent),
            _ => {}
        }
    }
    let progress = &*options.progress;
    progress.event(&Event::Resolving { image: name });
    let docker = match &options.docker_config {
        Some(path) => DockerConfig::read(path)?,
        None => DockerConfig::default(),
    };
    // The caller's word stops all; a failed layer stops the others, and not the caller.
    let stop = options.stop.child();
    let repository = Repository::open(
        reference,
        Access {
            registries: &options.registries,
            credentials: options.credentials.clone(),
            docker: &docker,
            timeouts: options.timeouts.clone(),
            progress,
            stop: &stop,
        },
    )?;
    let (manifest, manifest_bytes) = resolve(&repository, reference, options)?;
    let config_bytes = repository.small_blob(&manifest.config.digest, options.limits.config)?;
    let config = manifest::config(&config_bytes)?;
    config.check(&options.platform, manifest.layers.len())?;

    let _reserved = store.reserve(&config.diff_ids)?;
    let layers: Vec<Wanted> = config
        .diff_ids
        .iter()
        .zip(&manifest.layers)
        .map(|(diff_id, blob)| Wanted {
            diff_id: *diff_id,
            digest: Some(blob.digest),
            size: Some(blob.size),
        })
        .collect();
    let open = |layer: &Wanted| -> Result<Box<dyn Bytes + '_>, layer::Error> {
        let digest = layer.digest.unwrap_or(layer.diff_id);
        Ok(Box::new(repository.blob(digest, layer.size.unwrap_or(0))?))
    };
    fetch::all(store, &layers, &options.limits, &stop, progress, &open)?;
    let names = [name.to_owned()];
    let image = store.commit(
        &config_bytes,
        Some(&manifest_bytes),
        &config.diff_ids,
        &names,
    )?;
    progress.event(&Event::Done { image: image.id });
    Ok(image)
}

/// The manifest for the platform, through indexes.
fn resolve(
    repository: &Repository<'_>,
    reference: &Reference,
    options: &PullOptions,
) -> Result<(Manifest, Vec<u8>), Error> {
    let mut wanted = match reference::digest(reference) {
        Some(digest) => digest.to_string(),
        None => reference.tag().unwrap_or("latest").to_owned(),
    };
    for _ in 0..MAX_NESTING {
        let bytes = repository.manifest(&wanted, options.limits.manifest)?;
        match manifest::parse(&bytes, &options.limits)? {
            Document::Manifest(manifest) => return Ok((manifest, bytes)),
            Document::Index(entries) => {
                let digest: Digest = manifest::choose(&entries, &options.platform)?.blob.digest;
                wanted = digest.to_string();
            }
        }
    }
    Err(manifest::Error::Nested.into())
}
