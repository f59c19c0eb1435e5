//! From an OCI layout, an OCI archive or a docker-archive into the store.
//!
//! What `docker save` writes is both a docker-archive and, from docker 25 on, an OCI layout; the
//! layout is read where there is one.

mod files;
mod tar;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use crate::digest::Digest;
use crate::error::Error as Outer;
use crate::fetch::{self, Wanted};
use crate::layer::{self, Bytes, FileBytes};
use crate::limits::Limits;
use crate::manifest::{self, Config, Document, Entry, Manifest};
use crate::platform::Platform;
use crate::progress::{Event, Progress, Silent};
use crate::reference;
use crate::stop::Stop;
use crate::store::{self, Image, Store};

use files::Files;

pub use tar::Error as ArchiveError;

/// How deep indexes may hold indexes.
const MAX_NESTING: usize = 3;

/// An archive or a layout was not loaded. It is named by the error around this one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read it")]
    Read(#[source] std::io::Error),
    /// Nothing came.
    #[error("it is empty")]
    Empty,
    /// It is larger than what is taken.
    #[error("it has more than {limit} bytes, the most that is taken")]
    TooLarge {
        /// The bound.
        limit: u64,
    },
    /// It is not a tar archive.
    #[error(transparent)]
    Archive(tar::Error),
    /// It is neither form.
    #[error("it holds no image: neither index.json (OCI layout) nor manifest.json (docker save)")]
    NoImage,
    /// A document that is needed is not there.
    #[error("it has no {name}, which {by} names")]
    Missing {
        /// The missing file.
        name: String,
        /// What names it.
        by: &'static str,
    },
    /// A small document that is not small.
    #[error("its {name} has more than {limit} bytes")]
    FileTooLarge {
        /// The document.
        name: String,
        /// The bound.
        limit: u64,
    },
    /// A document whose bytes are not those that name it.
    #[error("its {name} has digest {got}; it is damaged or forged")]
    Digest {
        /// The document.
        name: String,
        /// The digest of its bytes.
        got: Digest,
    },
    /// `manifest.json` is not what docker writes.
    #[error("its manifest.json is malformed: {reason}")]
    Docker {
        /// What is wrong, in one line.
        reason: String,
    },
    /// A name in it is not one.
    #[error("it names an image wrongly")]
    Name(#[source] reference::Error),
    /// A name was given for several images.
    #[error("it holds {count} images, and one name was given; leave the name out")]
    OneName {
        /// How many.
        count: usize,
    },
    /// More images than are taken.
    #[error("it holds {count} images, more than the {limit} that are taken")]
    TooMany {
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// A manifest or configuration cannot be used.
    #[error(transparent)]
    Manifest(#[from] manifest::Error),
    /// A layer cannot be used.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The caller stopped it.
    #[error("stopped")]
    Stopped,
}

/// What to load.
pub enum Source {
    /// An OCI layout's folder, or an archive, gzip or zstd allowed.
    Path(PathBuf),
    /// An archive as a stream, such as standard input.
    Stream(Box<dyn Read + Send>),
}

/// How to load.
#[derive(Clone)]
#[non_exhaustive]
pub struct LoadOptions {
    /// The platform to choose from an index: this machine's.
    pub platform: Platform,
    /// The image's name, in place of what the archive says; only for one image.
    pub name: Option<String>,
    /// What is told of the steps: nothing.
    pub progress: Arc<dyn Progress>,
    /// Ends the load from another thread.
    pub stop: Stop,
    /// Bounds on archive and images.
    pub limits: Limits,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            platform: Platform::host(),
            name: None,
            progress: Arc::new(Silent),
            stop: Stop::default(),
            limits: Limits::default(),
        }
    }
}

/// One image of an archive: where its parts are.
struct Found {
    config: Vec<u8>,
    manifest: Option<Vec<u8>>,
    /// Path within the archive and digest, lowest first.
    layers: Vec<(String, Option<Digest>)>,
    names: Vec<String>,
}

/// One element of docker's `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerEntry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl Store {
    /// Loads all images of a layout or an archive, each with the names that it brings. A layout's
    /// bare tag `T` in a file or folder `F` becomes `localhost/F:T`.
    ///
    /// # Errors
    /// When the archive, one of its images or the disk does not allow it. The images before that
    /// one stay; nothing half-made does.
    pub fn load(&self, source: Source, options: &LoadOptions) -> Result<Vec<Image>, Outer> {
        let from = match &source {
            Source::Path(path) => path.display().to_string(),
            Source::Stream(_) => "from standard input".to_owned(),
        };
        load(self, source, options).map_err(|source| Outer::Load {
            from,
            source: source.into(),
        })
    }
}

fn load(store: &Store, source: Source, options: &LoadOptions) -> Result<Vec<Image>, Error> {
    let (files, stem) = match source {
        Source::Path(path) => (Files::at(&path, store, options)?, stem_of(&path)),
        Source::Stream(stream) => (Files::stream(stream, store, options)?, None),
    };
    let loader = Loader {
        files,
        stem,
        options,
    };
    let mut found = loader.find()?;
    if let Some(name) = &options.name {
        let name = reference::parse(name).map_err(Error::Name)?;
        match &mut found[..] {
            [one] => one.names = vec![name.whole()],
            several => {
                return Err(Error::OneName {
                    count: several.len(),
                });
            }
        }
    }
    found
        .iter()
        .map(|image| loader.load(store, image))
        .collect()
}

/// What an archive is called, made fit for a repository's name.
fn stem_of(path: &std::path::Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let name = path.file_name()?.to_str()?.to_lowercase();
    let stem = name.split(".tar").next()?.trim_end_matches(".oci");
    let fit: String = stem
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let fit = fit.trim_matches('-');
    reference::parse(&format!("localhost/{fit}"))
        .ok()
        .map(|_| fit.to_owned())
}

struct Loader<'a> {
    files: Files,
    stem: Option<String>,
    options: &'a LoadOptions,
}

impl Loader<'_> {
    fn find(&self) -> Result<Vec<Found>, Error> {
        let limits = &self.options.limits;
        let docker = self.files.read("manifest.json", limits.manifest)?;
        let found = match (self.files.read("index.json", limits.manifest)?, &docker) {
            (Some(index), _) => self.find_in_layout(&index)?,
            (None, Some(docker)) => self.find_in_docker(docker)?,
            (None, None) => return Err(Error::NoImage),
        };
        match found.len() {
            0 => Err(Error::NoImage),
            count if count > limits.images => Err(Error::TooMany {
                count,
                limit: limits.images,
            }),
            _ => Ok(found),
        }
    }

    fn find_in_layout(&self, index: &[u8]) -> Result<Vec<Found>, Error> {
        let limits = &self.options.limits;
        let entries = match manifest::parse(index, limits)? {
            Document::Index(entries) => entries,
            Document::Manifest(_) => return Err(Error::NoImage),
        };
        if entries.len() > limits.images {
            return Err(Error::TooMany {
                count: entries.len(),
                limit: limits.images,
            });
        }
        // Several manifests without a name of their own are one image for several platforms.
        let is_named = |entry: &Entry| entry.full_name.is_some() || entry.ref_name.is_some();
        if entries.len() > 1 && !entries.iter().any(is_named) {
            let entry = manifest::choose(&entries, &self.options.platform)?;
            return Ok(vec![self.in_layout(entry)?]);
        }
        let mut found: Vec<Found> = Vec::new();
        for entry in &entries {
            let image = self.in_layout(entry)?;
            // `docker save` lists an image once for each of its names.
            match found
                .iter_mut()
                .find(|known| known.manifest == image.manifest)
            {
                Some(known) => known.names.extend(image.names),
                None => found.push(image),
            }
        }
        Ok(found)
    }

    fn in_layout(&self, entry: &Entry) -> Result<Found, Error> {
        let limits = &self.options.limits;
        let (manifest, bytes) = self.resolve(entry)?;
        let config = self.blob(&manifest.config.digest, "the manifest", limits.config)?;
        let name = match (&entry.full_name, &entry.ref_name) {
            (Some(name), _) => Some(name.clone()),
            (None, Some(name)) if name.contains(['/', ':']) => Some(name.clone()),
            (None, tag) => self
                .stem
                .as_ref()
                .map(|stem| format!("localhost/{stem}:{}", tag.as_deref().unwrap_or("latest"))),
        };
        let name = name
            .map(|name| reference::parse(&name))
            .transpose()
            .map_err(Error::Name)?;
        let layers = manifest.layers.iter();
        Ok(Found {
            config,
            manifest: Some(bytes),
            layers: layers
                .map(|layer| (blob_name(&layer.digest), Some(layer.digest)))
                .collect(),
            names: name.map(|name| name.whole()).into_iter().collect(),
        })
    }

    fn resolve(&self, entry: &Entry) -> Result<(Manifest, Vec<u8>), Error> {
        let limits = &self.options.limits;
        let mut digest = entry.blob.digest;
        for _ in 0..MAX_NESTING {
            let bytes = self.blob(&digest, "the index", limits.manifest)?;
            match manifest::parse(&bytes, limits)? {
                Document::Manifest(manifest) => return Ok((manifest, bytes)),
                Document::Index(entries) => {
                    digest = manifest::choose(&entries, &self.options.platform)?
                        .blob
                        .digest;
                }
            }
        }
        Err(manifest::Error::Nested.into())
    }

    /// A small blob of a layout, checked against the digest in its name.
    fn blob(&self, digest: &Digest, by: &'static str, limit: u64) -> Result<Vec<u8>, Error> {
        let name = blob_name(digest);
        let bytes = self.files.read(&name, limit)?;
        let bytes = bytes.ok_or_else(|| Error::Missing {
            name: name.clone(),
            by,
        })?;
        let got = Digest::of(&bytes);
        match got == *digest {
            true => Ok(bytes),
            false => Err(Error::Digest { name, got }),
        }
    }

    fn find_in_docker(&self, bytes: &[u8]) -> Result<Vec<Found>, Error> {
        let limits = &self.options.limits;
        let entries: Vec<DockerEntry> =
            serde_json::from_slice(bytes).map_err(|error| Error::Docker {
                reason: crate::one_line(&error.to_string()),
            })?;
        if entries.len() > limits.images {
            return Err(Error::TooMany {
                count: entries.len(),
                limit: limits.images,
            });
        }
        let images = entries.into_iter().map(|entry| {
            let layers = entry.layers.unwrap_or_default();
            manifest::check_count(layers.len(), limits)?;
            let config = self.files.read(&entry.config, limits.config)?;
            let config = config.ok_or_else(|| Error::Missing {
                name: crate::one_line(&entry.config),
                by: "manifest.json",
            })?;
            let names = entry.repo_tags.unwrap_or_default();
            let names = names
                .iter()
                .map(|name| reference::parse(name).map(|name| name.whole()));
            Ok(Found {
                config,
                manifest: None,
                layers: layers.into_iter().map(|layer| (layer, None)).collect(),
                names: names.collect::<Result<_, _>>().map_err(Error::Name)?,
            })
        });
        images.collect()
    }

    fn load(&self, store: &Store, image: &Found) -> Result<Image, Error> {
        let options = self.options;
        let config: Config = manifest::config(&image.config)?;
        config.check(&options.platform, image.layers.len())?;
        let mut layers = Vec::new();
        for (diff_id, (name, digest)) in config.diff_ids.iter().zip(&image.layers) {
            // Looked up before the first is converted, so that a missing one costs nothing. One
            // that the store has need not be in the archive.
            let opened = self.files.open(name)?;
            if opened.is_none() && !store.layer_path(diff_id).is_file() {
                return Err(Error::Missing {
                    name: crate::one_line(name),
                    by: "the manifest",
                });
            }
            layers.push(Wanted {
                diff_id: *diff_id,
                digest: *digest,
                size: opened.map(|opened| opened.size),
            });
        }
        let _reserved = store.reserve(&config.diff_ids)?;
        let open = |wanted: &Wanted| -> Result<Box<dyn Bytes>, layer::Error> {
            let gone = || layer::Error::Read(std::io::ErrorKind::NotFound.into());
            let place = config.diff_ids.iter().position(|id| *id == wanted.diff_id);
            let (name, _) = place.and_then(|n| image.layers.get(n)).ok_or_else(gone)?;
            let opened = self
                .files
                .open(name)
                .map_err(|_| gone())?
                .ok_or_else(gone)?;
            Ok(Box::new(FileBytes(opened.reader)))
        };
        let stop = options.stop.child();
        let progress = &*options.progress;
        fetch::all(store, &layers, &options.limits, &stop, progress, &open)?;
        let manifest = image.manifest.as_deref();
        let loaded = store.commit(&image.config, manifest, &config.diff_ids, &image.names)?;
        progress.event(&Event::Done { image: loaded.id });
        Ok(loaded)
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}
