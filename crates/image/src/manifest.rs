//! Manifests, indexes and configurations: what they say, and what of it is not taken.

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::digest::Digest;
use crate::limits::Limits;
use crate::platform::Platform;

/// A manifest, index or configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not JSON, or a field is missing or of a wrong type.
    #[error("its {what} is malformed: {reason}")]
    Malformed {
        /// Which document.
        what: &'static str,
        /// What is wrong, in one line.
        reason: String,
    },
    /// A document that reads as two things at once (CVE-2021-41190).
    #[error("its manifest is both an index and a manifest, which no builder makes")]
    Ambiguous,
    /// Docker's old form, from before 2017.
    #[error("its manifest has the old schema 1; push the image again with a current docker")]
    SchemaOne,
    /// Something else than an image: a chart, a signature, a module.
    #[error("it is not a container image but an artifact of type {media_type}")]
    Artifact {
        /// The type of its configuration.
        media_type: String,
    },
    /// A kind of layer that is not taken.
    #[error("its layer {digest} is {kind} ({media_type}), which is not supported{cure}")]
    LayerType {
        /// The layer's blob.
        digest: String,
        /// In a word.
        kind: &'static str,
        /// Its media type.
        media_type: String,
        /// What to do, if anything.
        cure: &'static str,
    },
    /// A digest that is not sha256.
    #[error("its {what} names a blob by {digest:?}; only sha256 is supported")]
    Digest {
        /// Which document.
        what: &'static str,
        /// The digest.
        digest: String,
    },
    /// No image in the index runs here.
    #[error("it has no image for {wanted}{}", has(.available))]
    NoPlatform {
        /// What was asked for.
        wanted: Platform,
        /// What there is.
        available: Vec<String>,
    },
    /// The one image is for another platform.
    #[error("it is for {got}, not for {wanted}; choose another with --platform, or another image")]
    WrongPlatform {
        /// What was asked for.
        wanted: Box<Platform>,
        /// What it is for.
        got: Box<Platform>,
    },
    /// Indexes within indexes.
    #[error("its indexes are nested too deep")]
    Nested,
    /// More layers than the bound.
    #[error("it has {layers} layers, more than the {limit} that are taken")]
    TooManyLayers {
        /// How many.
        layers: usize,
        /// The bound.
        limit: usize,
    },
    /// A configuration larger than its bound, by its descriptor.
    #[error("its configuration has {size} bytes, more than the {limit} that are taken")]
    ConfigTooLarge {
        /// The size.
        size: u64,
        /// The bound.
        limit: u64,
    },
    /// Manifest and configuration do not fit.
    #[error("its manifest has {layers} layers and its configuration {diff_ids}; it is damaged")]
    LayerCount {
        /// Of the manifest.
        layers: usize,
        /// Of the configuration.
        diff_ids: usize,
    },
}

fn has(available: &[String]) -> String {
    match available {
        [] => ", nor for any other platform".to_owned(),
        some => format!("; it has {}", some.join(", ")),
    }
}

/// A blob by digest and size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// What of a manifest is used.
#[derive(Debug)]
pub(crate) struct Manifest {
    pub(crate) config: Blob,
    /// Lowest first.
    pub(crate) layers: Vec<Blob>,
}

/// One image of an index.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) blob: Blob,
    pub(crate) platform: Option<Platform>,
    /// A name given to it (`io.containerd.image.name`), in layouts.
    pub(crate) full_name: Option<String>,
    /// A tag or a name (`org.opencontainers.image.ref.name`), in layouts.
    pub(crate) ref_name: Option<String>,
}

/// What a registry may answer when asked for a manifest.
#[derive(Debug)]
pub(crate) enum Document {
    Index(Vec<Entry>),
    Manifest(Manifest),
}

/// Enough of a document to know what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    manifests: Option<IgnoredAny>,
    layers: Option<IgnoredAny>,
    config: Option<IgnoredAny>,
    fs_layers: Option<IgnoredAny>,
}

/// Parses what a registry or a layout has as a manifest.
pub(crate) fn parse(bytes: &[u8], limits: &Limits) -> Result<Document, Error> {
    let malformed = |reason: String| Error::Malformed {
        what: "manifest",
        reason: crate::one_line(&reason),
    };
    let shape: Shape =
        serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
    if shape.fs_layers.is_some() || shape.schema_version == Some(1) {
        return Err(Error::SchemaOne);
    }
    let is_manifest = shape.layers.is_some() || shape.config.is_some();
    match (shape.manifests.is_some(), is_manifest) {
        (true, true) => Err(Error::Ambiguous),
        (true, false) => {
            let index: ImageIndex =
                serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
            index
                .manifests()
                .iter()
                .map(entry)
                .collect::<Result<_, _>>()
                .map(Document::Index)
        }
        (false, _) => {
            let manifest: ImageManifest =
                serde_json::from_slice(bytes).map_err(|e| malformed(e.to_string()))?;
            self::manifest(&manifest, limits).map(Document::Manifest)
        }
    }
}

fn entry(descriptor: &Descriptor) -> Result<Entry, Error> {
    let annotation = |key: &str| descriptor.annotations().as_ref()?.get(key).cloned();
    Ok(Entry {
        blob: blob(descriptor, "index")?,
        platform: descriptor.platform().as_ref().map(|platform| {
            Platform::new(
                &platform.os().to_string(),
                &platform.architecture().to_string(),
                platform.variant().as_deref(),
            )
        }),
        full_name: annotation("io.containerd.image.name"),
        ref_name: annotation("org.opencontainers.image.ref.name"),
    })
}

fn blob(descriptor: &Descriptor, what: &'static str) -> Result<Blob, Error> {
    let text = descriptor.digest().to_string();
    let digest = text.parse().map_err(|_| Error::Digest {
        what,
        digest: crate::one_line(&text),
    })?;
    Ok(Blob {
        digest,
        size: descriptor.size(),
    })
}

fn manifest(manifest: &ImageManifest, limits: &Limits) -> Result<Manifest, Error> {
    let config_type = manifest.config().media_type().to_string();
    if !matches!(
        config_type.as_str(),
        "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json"
    ) {
        return Err(Error::Artifact {
            media_type: crate::one_line(&config_type),
        });
    }
    let config = blob(manifest.config(), "manifest")?;
    if config.size > limits.config {
        return Err(Error::ConfigTooLarge {
            size: config.size,
            limit: limits.config,
        });
    }
    check_count(manifest.layers().len(), limits)?;
    let layers = manifest.layers().iter().map(|layer| {
        check_layer_type(layer)?;
        blob(layer, "manifest")
    });
    Ok(Manifest {
        config,
        layers: layers.collect::<Result<_, _>>()?,
    })
}

/// Refuses more layers than the bound.
pub(crate) fn check_count(layers: usize, limits: &Limits) -> Result<(), Error> {
    match layers > limits.layers {
        true => Err(Error::TooManyLayers {
            layers,
            limit: limits.layers,
        }),
        false => Ok(()),
    }
}

fn check_layer_type(layer: &Descriptor) -> Result<(), Error> {
    let media_type = layer.media_type().to_string();
    let plain = match media_type.strip_prefix("application/vnd.oci.image.layer.v1.tar") {
        Some(rest) => matches!(rest, "" | "+gzip" | "+zstd"),
        None => match media_type.strip_prefix("application/vnd.docker.image.rootfs.diff.tar") {
            Some(rest) => matches!(rest, "" | ".gzip" | ".zstd"),
            None => false,
        },
    };
    if plain {
        return Ok(());
    }
    let (kind, cure) = if media_type.contains("encrypted") {
        ("encrypted", "; use the image's unencrypted form")
    } else if media_type.contains("foreign") || media_type.contains("nondistributable") {
        (
            "foreign, kept outside of registries",
            "; Windows images have such, Linux ones need not",
        )
    } else {
        ("of an unknown type", "")
    };
    Err(Error::LayerType {
        digest: crate::one_line(layer.digest().as_ref()),
        kind,
        media_type: crate::one_line(&media_type),
        cure,
    })
}

/// The entry of an index that runs best on a platform.
pub(crate) fn choose<'a>(entries: &'a [Entry], wanted: &Platform) -> Result<&'a Entry, Error> {
    let fitting = entries.iter().filter_map(|entry| {
        // An index need not name platforms; then its only image has to do, and the image's own
        // configuration tells whether it does.
        let distance = match &entry.platform {
            Some(platform) => wanted.distance(platform)?,
            None => u32::MAX,
        };
        Some((distance, entry))
    });
    let best = fitting.min_by_key(|(distance, _)| *distance);
    best.map(|(_, entry)| entry).ok_or_else(|| {
        let mut available: Vec<String> = entries
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            // Attestations stand in indexes as images for unknown/unknown.
            .filter(|platform| platform.os != "unknown")
            .map(|platform| crate::one_line(&platform.to_string()))
            .collect();
        available.sort();
        available.dedup();
        available.truncate(20);
        Error::NoPlatform {
            wanted: wanted.clone(),
            available,
        }
    })
}

/// What of a configuration is used, checked against platform and layers.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) parsed: ImageConfiguration,
    /// Digests of the uncompressed layers, lowest first.
    pub(crate) diff_ids: Vec<Digest>,
}

/// Parses an image's configuration.
pub(crate) fn config(bytes: &[u8]) -> Result<Config, Error> {
    let parsed: ImageConfiguration =
        serde_json::from_slice(bytes).map_err(|error: serde_json::Error| Error::Malformed {
            what: "configuration",
            reason: crate::one_line(&error.to_string()),
        })?;
    let diff_ids = parsed.rootfs().diff_ids().iter().map(|text| {
        text.parse().map_err(|_| Error::Digest {
            what: "configuration",
            digest: crate::one_line(text),
        })
    });
    Ok(Config {
        diff_ids: diff_ids.collect::<Result<_, _>>()?,
        parsed,
    })
}

impl Config {
    /// The platform that the image is for.
    pub(crate) fn platform(&self) -> Platform {
        Platform::new(
            &self.parsed.os().to_string(),
            &self.parsed.architecture().to_string(),
            self.parsed.variant().as_deref(),
        )
    }

    /// Refuses a configuration for another platform or for another number of layers.
    pub(crate) fn check(&self, wanted: &Platform, layers: usize) -> Result<(), Error> {
        let got = self.platform();
        // Builders leave a variant out of configurations as they like.
        let same = wanted.os == got.os && wanted.arch == got.arch;
        if !same {
            return Err(Error::WrongPlatform {
                wanted: wanted.clone().into(),
                got: got.into(),
            });
        }
        if layers != self.diff_ids.len() {
            return Err(Error::LayerCount {
                layers,
                diff_ids: self.diff_ids.len(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "manifest_test.rs"]
mod tests;
