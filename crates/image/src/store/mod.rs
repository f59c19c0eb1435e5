//! The store: layers as EROFS images, the documents that name them, and names.
//!
//! ```text
//! ROOT/layers/sha256/<first 2 digits>/<diffID>.erofs   where containerd's EROFS snapshotter looks
//! ROOT/blobs/sha256/<digest>                           configurations and manifests
//! ROOT/images/<ID>.json                                an image that is complete
//! ROOT/names/<sha256 of the name>.json                 which image a name means
//! ROOT/leases/<owner>/<ID>.json                        an image that a Pod uses
//! ROOT/tmp/                                            what is in the making, each file locked
//! ROOT/lock                                            held while images, names, leases change
//! ```
//!
//! Files come into being complete: they are written in `tmp`, synced and renamed. A layer in the
//! making has a name made of its diffID and is locked, so two processes never convert the same
//! layer at once, and what a killed one leaves is known by its free lock.

mod record;
mod remove;
mod temp;

pub use remove::{Hold, Removed};

pub(crate) use temp::TempFile;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oci_spec::image::ImageConfiguration;

use crate::digest::Digest;
use crate::layer::is_full;
use crate::platform::Platform;
use crate::stop::Stop;

use record::{NameRecord, Record};
use temp::Lock;

/// The store cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disk is full.
    #[error("no space is left for {}; free some, or run: skete image prune", path.display())]
    NoSpace {
        /// The file that was being written.
        path: PathBuf,
    },
    /// There is less space than the image needs at least.
    #[error(
        "its layers have {needed} bytes to fetch and the disk of {} has {free} free; free some, or run: skete image prune",
        path.display()
    )]
    TooLittleSpace {
        /// The store.
        path: PathBuf,
        /// Bytes needed at least.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// A file of the store that the store did not write so.
    #[error("{} is damaged ({reason}); remove it and pull the image again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer was taken away by other hands.
    #[error("image {image} lacks its layer {}; pull it again", path.display())]
    LayerGone {
        /// The image's ID.
        image: Digest,
        /// The missing file.
        path: PathBuf,
    },
    /// No image of this name or ID.
    #[error("no image {name} in the store; see: skete image ls")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// Several images' IDs begin so.
    #[error("{prefix} begins the IDs of {count} images; write more of it")]
    Several {
        /// What was asked for.
        prefix: String,
        /// How many.
        count: usize,
    },
    /// It has more names than the one meant.
    #[error("image {id} has several names ({}); remove them by name, or force it", names.join(", "))]
    SeveralNames {
        /// The image's ID.
        id: Digest,
        /// Its names.
        names: Vec<String>,
    },
    /// A Pod uses it.
    #[error("image {name} is used by {}; remove that first, or force it", owners.join(", "))]
    InUse {
        /// The image's name or ID.
        name: String,
        /// Who uses it.
        owners: Vec<String>,
    },
    /// A holder's name that is no file name.
    #[error("{owner:?} cannot hold an image: want letters, digits, '.', '_' and '-'")]
    Owner {
        /// The name.
        owner: String,
    },
    /// The caller stopped it.
    #[error("stopped")]
    Stopped,
}

/// An image in the store, complete.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Image {
    /// Its ID: the digest of its configuration.
    pub id: Digest,
    /// Its names, sorted; none if other images have taken them all.
    pub names: Vec<String>,
    /// The digest of its manifest, if it came with one (a docker-archive has none).
    pub manifest_digest: Option<Digest>,
    /// When it was built, by its configuration (RFC 3339).
    pub created: Option<String>,
    /// Bytes of its layers in the store; layers that are shared with others are counted in each.
    pub size: u64,
    /// What it is to run, and how.
    pub config: ImageConfiguration,
    /// The EROFS images of its layers, lowest first. One that is in the image twice is here twice.
    pub layers: Vec<PathBuf>,
    /// The diffIDs of the layers, in the same order.
    pub diff_ids: Vec<Digest>,
    /// The platform it is for.
    pub platform: Platform,
}

/// A store of images in a directory. Any number of processes may have it open.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// A place for a layer that is asked for.
pub(crate) enum Slot {
    /// It is there.
    Present,
    /// It is to be written into this file by the caller, who has it alone.
    Make(TempFile),
}

impl Store {
    /// Opens a store, making its directories if need be (for this user alone), and removes what
    /// killed processes left in the making.
    ///
    /// # Errors
    /// When the directories cannot be made or read.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, Error> {
        let store = Self { root: root.into() };
        // Images may hold secrets, so other users have no business here.
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        for folder in [
            "layers/sha256",
            "blobs/sha256",
            "images",
            "names",
            "leases",
            "tmp",
        ] {
            let path = store.root.join(folder);
            builder
                .create(&path)
                .map_err(|e| io_error("make", &path, e))?;
        }
        let tmp = store.tmp();
        temp::remove_stale(&tmp).map_err(|e| io_error("clean up", &tmp, e))?;
        Ok(store)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a layer's EROFS image is, or would be.
    pub fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        let hex = diff_id.hex();
        let folder = self.root.join("layers/sha256").join(&hex[..2]);
        folder.join(format!("{hex}.erofs"))
    }

    /// Where a configuration or a manifest is, or would be.
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// The image of a name (short ones as docker means them) or of an ID or its beginning.
    /// `None` if there is none.
    ///
    /// # Errors
    /// When an ID's beginning fits several images, the image lacks a layer, or the store is
    /// damaged or cannot be read.
    pub fn get(&self, name_or_id: &str) -> Result<Option<Image>, Error> {
        let Some(id) = self.find(name_or_id)?.map(|found| found.id) else {
            return Ok(None);
        };
        let Some(record) = self.record(&id)? else {
            return Ok(None);
        };
        let names = self.names()?;
        let Some(image) = self.image(&record, &names)? else {
            return Ok(None);
        };
        match image.layers.iter().find(|path| !path.is_file()) {
            Some(path) => Err(Error::LayerGone {
                image: id,
                path: path.clone(),
            }),
            None => Ok(Some(image)),
        }
    }

    /// All images, by first name and ID.
    ///
    /// # Errors
    /// When the store is damaged or cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, Error> {
        let names = self.names()?;
        let mut images = Vec::new();
        for record in self.records()? {
            images.extend(self.image(&record, &names)?);
        }
        images.sort_by(|a, b| {
            let key = |image: &Image| {
                (
                    image.names.is_empty(),
                    image.names.first().cloned(),
                    image.id,
                )
            };
            key(a).cmp(&key(b))
        });
        Ok(images)
    }

    /// The image of a record; `None` if it was removed in this moment.
    fn image(&self, record: &Record, names: &[NameRecord]) -> Result<Option<Image>, Error> {
        let path = self.blob_path(&record.id);
        let Some(bytes) = record::read(&path)? else {
            return match self.record(&record.id)? {
                None => Ok(None),
                Some(_) => Err(Error::Damaged {
                    path: record::image_path(&self.root, &record.id),
                    reason: "its configuration is gone".to_owned(),
                }),
            };
        };
        let config = crate::manifest::config(&bytes).map_err(|error| Error::Damaged {
            path,
            reason: error.to_string(),
        })?;
        let layers: Vec<PathBuf> = config
            .diff_ids
            .iter()
            .map(|id| self.layer_path(id))
            .collect();
        let size_of = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let mut once = layers.clone();
        once.sort();
        once.dedup();
        let names = names.iter().filter(|name| name.image == record.id);
        Ok(Some(Image {
            id: record.id,
            names: names.map(|name| name.name.clone()).collect(),
            manifest_digest: record.manifest,
            created: config.parsed.created().clone(),
            size: once.iter().map(size_of).sum(),
            platform: config.platform(),
            config: config.parsed,
            layers,
            diff_ids: config.diff_ids,
        }))
    }

    /// Keeps the layers of an image from being pruned before the image is complete.
    pub(crate) fn reserve(&self, layers: &[Digest]) -> Result<TempFile, Error> {
        // With the lock, so that a prune sees the file either not at all or filled.
        let _lock = self.lock()?;
        let tmp = self.tmp();
        let make = || {
            let mut file = TempFile::create(&tmp, remove::RESERVED)?;
            serde_json::to_writer(file.file(), layers)?;
            Ok(file)
        };
        make().map_err(|error| io_error("write into", &tmp, error))
    }

    /// The place of a layer; awaits another process that is making it, calling `waiting` once.
    pub(crate) fn slot(
        &self,
        diff_id: &Digest,
        stop: &Stop,
        waiting: &dyn Fn(),
    ) -> Result<Slot, Error> {
        let path = self.layer_path(diff_id);
        let tmp = self.tmp();
        let mut told = false;
        loop {
            if path.is_file() {
                return Ok(Slot::Present);
            }
            let claimed = TempFile::try_claim(&tmp, &format!("layer-{}", diff_id.hex()));
            match claimed.map_err(|error| io_error("write into", &tmp, error))? {
                // It may have been finished between the look and the lock.
                Some(_) if path.is_file() => return Ok(Slot::Present),
                Some(file) => return Ok(Slot::Make(file)),
                None => {
                    if !told {
                        waiting();
                        told = true;
                    }
                    if temp::wait_a_moment(stop) {
                        return Err(Error::Stopped);
                    }
                }
            }
        }
    }

    /// Puts a finished layer in its place.
    pub(crate) fn put_layer(&self, diff_id: &Digest, file: TempFile) -> Result<u64, Error> {
        let path = self.layer_path(diff_id);
        let write = || {
            file.persist(&path)?;
            Ok(fs::metadata(&path)?.len())
        };
        write().map_err(|error| io_error("write", &path, error))
    }

    /// Makes an image whose layers are all there complete, and gives it names.
    pub(crate) fn commit(
        &self,
        config: &[u8],
        manifest: Option<&[u8]>,
        layers: &[Digest],
        names: &[String],
    ) -> Result<Image, Error> {
        let lock = self.lock()?;
        let id = Digest::of(config);
        self.put_blob(&id, config)?;
        let manifest = match manifest {
            Some(bytes) => {
                let digest = Digest::of(bytes);
                self.put_blob(&digest, bytes)?;
                Some(digest)
            }
            None => None,
        };
        let record = Record {
            id,
            manifest,
            layers: layers.to_vec(),
        };
        self.write_record(&record)?;
        for name in names {
            self.write_name(&NameRecord {
                name: name.clone(),
                image: id,
                manifest,
            })?;
        }
        // Still with the lock: a prune could take a new image without a holder at once.
        let image = self.image(&record, &self.names()?)?;
        drop(lock);
        image.ok_or_else(|| Error::NotFound {
            name: id.to_string(),
        })
    }

    /// Bytes that this user can still write.
    pub(crate) fn free_space(&self) -> Result<u64, Error> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|error| io_error("read", &self.root, error.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// A file for an archive that has to be kept while it is read.
    pub(crate) fn spool(&self) -> Result<TempFile, Error> {
        let tmp = self.tmp();
        TempFile::create(&tmp, "spool").map_err(|error| io_error("write into", &tmp, error))
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    fn lock(&self) -> Result<Lock, Error> {
        let path = self.root.join("lock");
        Lock::take(&path).map_err(|error| io_error("lock", &path, error))
    }
}

/// An error of the file system, as the store tells it.
pub(crate) fn io_error(what: &'static str, path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    match is_full(&source) {
        true => Error::NoSpace { path },
        false => Error::Io { what, path, source },
    }
}
