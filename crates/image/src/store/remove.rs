//! Removing images, and keeping those that are in use.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::{self, NameRecord, Record};
use super::{Error, Image, Store, io_error, temp};
use crate::digest::Digest;

/// The kind of the files in `tmp` that keep layers for a pull that is under way.
pub(super) const RESERVED: &str = "reserved";

/// What a removal took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that are no more.
    pub untagged: Vec<String>,
    /// IDs of images that are no more.
    pub deleted: Vec<Digest>,
    /// Bytes of layers that were freed.
    pub freed: u64,
}

/// An image kept for an owner. It stays kept when this value is dropped, and when the process
/// ends: a Pod outlives the command that made it.
#[derive(Debug)]
#[must_use = "an image stays held until its owner releases it"]
pub struct Hold {
    store: Store,
    owner: String,
}

impl Hold {
    /// The owner.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Ends all holds of the owner, as [`Store::release`] does.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn release(self) -> Result<(), Error> {
        self.store.release(&self.owner)
    }
}

#[derive(Serialize, Deserialize)]
struct Lease {
    image: Digest,
    layers: Vec<Digest>,
}

impl Store {
    /// Keeps an image for an owner (a Pod's ID) until [`Store::release`]: it cannot be removed
    /// or pruned, and if it is removed by force, its layers stay.
    ///
    /// # Errors
    /// When the image is no longer there ([`Error::NotFound`]: a prune was faster, so pull it
    /// again), the owner's name is not one, or the store cannot be written.
    pub fn hold(&self, owner: &str, image: &Image) -> Result<Hold, Error> {
        let folder = self.lease_folder(owner)?;
        let _lock = self.lock()?;
        if self.record(&image.id)?.is_none() {
            return Err(Error::NotFound {
                name: image
                    .names
                    .first()
                    .cloned()
                    .unwrap_or_else(|| image.id.to_string()),
            });
        }
        let lease = Lease {
            image: image.id,
            layers: image.diff_ids.clone(),
        };
        self.write_json(&folder.join(format!("{}.json", image.id.hex())), &lease)?;
        Ok(Hold {
            store: self.clone(),
            owner: owner.to_owned(),
        })
    }

    /// Ends all holds of an owner, and removes the layers that only they kept. Does nothing if
    /// there are none.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn release(&self, owner: &str) -> Result<(), Error> {
        let folder = self.lease_folder(owner)?;
        let _lock = self.lock()?;
        let mut layers = HashSet::new();
        for lease in self.leases_in(&folder)? {
            layers.extend(lease.layers);
        }
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove", &folder, error));
            }
            _ => {}
        }
        let live = self.live_layers()?;
        for layer in layers.difference(&live) {
            self.remove_layer(&self.layer_path(layer))?;
        }
        Ok(())
    }

    /// All owners that hold images.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn owners(&self) -> Result<Vec<String>, Error> {
        let folder = self.root.join("leases");
        let read = || {
            let entries: Result<Vec<_>, _> = fs::read_dir(&folder)?.collect();
            let names = entries?.into_iter().map(|entry| entry.file_name());
            Ok(names.filter_map(|name| name.into_string().ok()).collect())
        };
        let mut owners: Vec<String> = read().map_err(|error| io_error("read", &folder, error))?;
        owners.sort();
        Ok(owners)
    }

    /// Removes images by names or IDs. A name is taken off its image; the image goes with its
    /// last name, and its layers if no other image has them. Either all are removed or none.
    ///
    /// # Errors
    /// When one is not there; and unless `force`, when one is in use, or has several names and is
    /// meant by its ID.
    pub fn remove(&self, names_or_ids: &[&str], force: bool) -> Result<Removed, Error> {
        let _lock = self.lock()?;
        let mut names = self.names()?;
        let mut removed = Removed::default();
        let mut doomed = Vec::new();
        for what in names_or_ids {
            let found = self.find(what)?;
            let found = found.ok_or_else(|| Error::NotFound {
                name: (*what).to_owned(),
            })?;
            let of_image = names.iter().filter(|name| name.image == found.id);
            let all: Vec<String> = of_image.map(|name| name.name.clone()).collect();
            let off = match found.name {
                Some(name) => vec![name],
                None if all.len() > 1 && !force => {
                    return Err(Error::SeveralNames {
                        id: found.id,
                        names: all,
                    });
                }
                None => all.clone(),
            };
            names.retain(|name| !off.contains(&name.name));
            removed.untagged.extend(off);
            if !names.iter().any(|name| name.image == found.id) && !doomed.contains(&found.id) {
                if !force {
                    self.refuse_in_use(what, &found.id)?;
                }
                doomed.push(found.id);
            }
        }
        self.drop_images(removed, doomed)
    }

    /// Removes images without a name, or with `all` every image that is not in use, and layers
    /// and documents that belong to none.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn prune(&self, all: bool) -> Result<Removed, Error> {
        let _lock = self.lock()?;
        let names = self.names()?;
        let used = self.users()?;
        let mut removed = Removed::default();
        let mut doomed = Vec::new();
        for record in self.records()? {
            let own: Vec<&NameRecord> = names.iter().filter(|n| n.image == record.id).collect();
            if used.contains_key(&record.id) || (!all && !own.is_empty()) {
                continue;
            }
            removed
                .untagged
                .extend(own.iter().map(|name| name.name.clone()));
            doomed.push(record.id);
        }
        let mut removed = self.drop_images(removed, doomed)?;
        removed.freed += self.sweep()?;
        Ok(removed)
    }

    /// Takes names and records away, then what only they kept. A crash in between leaves layers
    /// that belong to none, which a prune finds.
    fn drop_images(&self, mut removed: Removed, doomed: Vec<Digest>) -> Result<Removed, Error> {
        let mut layers = HashSet::new();
        let mut blobs = HashSet::new();
        for name in &removed.untagged {
            remove_file(&self.name_path(name))?;
        }
        for id in &doomed {
            if let Some(record) = self.record(id)? {
                layers.extend(record.layers);
                blobs.extend([Some(record.id), record.manifest].into_iter().flatten());
            }
            remove_file(&record::image_path(&self.root, id))?;
        }
        let live = self.live_layers()?;
        for layer in layers.difference(&live) {
            removed.freed += self.remove_layer(&self.layer_path(layer))?;
        }
        let live = self.live_blobs()?;
        for blob in blobs.difference(&live) {
            remove_file(&self.blob_path(blob))?;
        }
        removed.deleted = doomed;
        Ok(removed)
    }

    /// Removes layers and documents that nothing names.
    fn sweep(&self) -> Result<u64, Error> {
        let live = self.live_layers()?;
        let mut freed = 0;
        let layers = self.root.join("layers/sha256");
        for folder in files_in(&layers)?.iter().filter(|path| path.is_dir()) {
            for path in files_in(folder)? {
                let stem = path
                    .file_stem()
                    .and_then(|stem| stem.to_str())
                    .unwrap_or_default();
                // A file of another name is not ours to remove.
                if Digest::from_hex(stem).is_ok_and(|layer| !live.contains(&layer)) {
                    freed += self.remove_layer(&path)?;
                }
            }
        }
        let live = self.live_blobs()?;
        for path in files_in(&self.root.join("blobs/sha256"))? {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if Digest::from_hex(name).is_ok_and(|blob| !live.contains(&blob)) {
                remove_file(&path)?;
            }
        }
        Ok(freed)
    }

    fn refuse_in_use(&self, name: &str, id: &Digest) -> Result<(), Error> {
        match self.users()?.remove(id) {
            Some(owners) => Err(Error::InUse {
                name: name.to_owned(),
                owners,
            }),
            None => Ok(()),
        }
    }

    /// The owners of each image that is held.
    fn users(&self) -> Result<BTreeMap<Digest, Vec<String>>, Error> {
        let mut users: BTreeMap<Digest, Vec<String>> = BTreeMap::new();
        for owner in self.owners()? {
            for lease in self.leases_in(&self.root.join("leases").join(&owner))? {
                users.entry(lease.image).or_default().push(owner.clone());
            }
        }
        Ok(users)
    }

    /// All layers that an image, a hold or a running pull needs.
    fn live_layers(&self) -> Result<HashSet<Digest>, Error> {
        let mut live = HashSet::new();
        for Record { layers, .. } in self.records()? {
            live.extend(layers);
        }
        for owner in self.owners()? {
            for lease in self.leases_in(&self.root.join("leases").join(owner))? {
                live.extend(lease.layers);
            }
        }
        for path in files_in(&self.tmp())? {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if name.starts_with(RESERVED)
                && let Some(bytes) = record::read(&path)?
            {
                // One that a killed process left half written reserves nothing.
                live.extend(serde_json::from_slice::<Vec<Digest>>(&bytes).unwrap_or_default());
            }
        }
        Ok(live)
    }

    fn live_blobs(&self) -> Result<HashSet<Digest>, Error> {
        let records = self.records()?.into_iter();
        let mut live: HashSet<Digest> = records
            .flat_map(|record| [Some(record.id), record.manifest])
            .flatten()
            .collect();
        live.extend(self.names()?.into_iter().filter_map(|name| name.manifest));
        Ok(live)
    }

    fn leases_in(&self, folder: &Path) -> Result<Vec<Lease>, Error> {
        let mut leases = Vec::new();
        for path in record::json_files(folder)? {
            if let Some(bytes) = record::read(&path)? {
                leases.push(
                    serde_json::from_slice(&bytes).map_err(|error| Error::Damaged {
                        path,
                        reason: crate::one_line(&error.to_string()),
                    })?,
                );
            }
        }
        Ok(leases)
    }

    fn lease_folder(&self, owner: &str) -> Result<PathBuf, Error> {
        let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if owner.is_empty()
            || owner.len() > 200
            || owner.starts_with('.')
            || !owner.bytes().all(good)
        {
            return Err(Error::Owner {
                owner: owner.chars().take(80).collect(),
            });
        }
        Ok(self.root.join("leases").join(owner))
    }

    fn remove_layer(&self, path: &Path) -> Result<u64, Error> {
        use std::os::unix::fs::MetadataExt;
        let freed = fs::metadata(path).map_or(0, |metadata| metadata.blocks() * 512);
        remove_file(path)?;
        Ok(freed)
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read = || {
        let entries: Result<Vec<_>, _> = fs::read_dir(folder)?.collect();
        Ok(entries?.into_iter().map(|entry| entry.path()).collect())
    };
    read().map_err(|error| io_error("read", folder, error))
}

/// Removes a file for good; one that is gone is fine.
fn remove_file(path: &Path) -> Result<(), Error> {
    let remove = || match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => path.parent().map_or(Ok(()), temp::sync_folder),
    };
    remove().map_err(|error| io_error("remove", path, error))
}
