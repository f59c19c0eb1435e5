//! The store's small JSON files.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Error, Store, io_error};
use crate::digest::Digest;
use crate::store::TempFile;

/// No file that is read whole is larger.
const MAX_FILE: u64 = 16 << 20;

/// An image that is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: Digest,
    pub(super) manifest: Option<Digest>,
    /// DiffIDs, lowest first: what a clean-up has to keep, without parsing the configuration.
    pub(super) layers: Vec<Digest>,
}

/// What a name means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NameRecord {
    pub(super) name: String,
    pub(super) image: Digest,
    pub(super) manifest: Option<Digest>,
}

/// An image that was asked for.
pub(super) struct Found {
    pub(super) id: Digest,
    /// The name it was found by; `None` if by its ID.
    pub(super) name: Option<String>,
}

/// Reads a file whole; `None` if it is not there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    let result = fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    match result {
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path, error)),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| Error::Damaged {
            path: path.to_owned(),
            reason: crate::one_line(&error.to_string()),
        })
}

/// The paths of all `.json` files in a folder.
pub(super) fn json_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(paths),
        Err(error) => return Err(io_error("read", folder, error)),
    };
    for entry in entries {
        let path = entry
            .map_err(|error| io_error("read", folder, error))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_all<T: DeserializeOwned>(folder: &Path) -> Result<Vec<T>, Error> {
    let mut all = Vec::new();
    for path in json_files(folder)? {
        // One that went meanwhile was removed.
        all.extend(read_json(&path)?);
    }
    Ok(all)
}

pub(super) fn image_path(root: &Path, id: &Digest) -> PathBuf {
    root.join("images").join(format!("{}.json", id.hex()))
}

impl Store {
    pub(super) fn record(&self, id: &Digest) -> Result<Option<Record>, Error> {
        read_json(&image_path(&self.root, id))
    }

    pub(super) fn records(&self) -> Result<Vec<Record>, Error> {
        read_all(&self.root.join("images"))
    }

    /// All names, sorted.
    pub(super) fn names(&self) -> Result<Vec<NameRecord>, Error> {
        let mut names: Vec<NameRecord> = read_all(&self.root.join("names"))?;
        names.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(names)
    }

    /// A name may be longer than a file's and has slashes, so the file is named by its digest.
    pub(super) fn name_path(&self, name: &str) -> PathBuf {
        let file = format!("{}.json", Digest::of(name.as_bytes()).hex());
        self.root.join("names").join(file)
    }

    pub(super) fn write_record(&self, record: &Record) -> Result<(), Error> {
        self.write_json(&image_path(&self.root, &record.id), record)
    }

    pub(super) fn write_name(&self, name: &NameRecord) -> Result<(), Error> {
        self.write_json(&self.name_path(&name.name), name)
    }

    pub(super) fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), Error> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| Error::Io {
            what: "write",
            path: path.to_owned(),
            source: error.into(),
        })?;
        self.write_file(path, &bytes)
    }

    /// Writes a configuration or a manifest, unless it is there.
    pub(super) fn put_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), Error> {
        let path = self.blob_path(digest);
        match path.is_file() {
            true => Ok(()),
            false => self.write_file(&path, bytes),
        }
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let write = || {
            let mut file = TempFile::create(&self.tmp(), "file")?;
            file.file().write_all(bytes)?;
            file.persist(path)
        };
        write().map_err(|error| io_error("write", path, error))
    }

    /// Finds an image by name, then by ID or the beginning of one, as docker does.
    pub(super) fn find(&self, name_or_id: &str) -> Result<Option<Found>, Error> {
        if let Ok(reference) = crate::reference::parse(name_or_id) {
            let found: Option<NameRecord> = read_json(&self.name_path(&reference.whole()))?;
            if let Some(name) = found.filter(|name| name.name == reference.whole()) {
                return Ok(Some(Found {
                    id: name.image,
                    name: Some(name.name),
                }));
            }
            // What was pulled by tag is also meant by the digest of its manifest.
            if let Some(digest) = crate::reference::digest(&reference) {
                let repository = format!("{}/{}:", reference.registry(), reference.repository());
                let names = self.names()?;
                let found = names.into_iter().find(|name| {
                    name.manifest == Some(digest) && name.name.starts_with(&repository)
                });
                if let Some(found) = found {
                    return Ok(Some(Found {
                        id: found.image,
                        name: None,
                    }));
                }
            }
        }
        let prefix = name_or_id.strip_prefix("sha256:").unwrap_or(name_or_id);
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(hex) {
            return Ok(None);
        }
        let mut fitting: Vec<Digest> = Vec::new();
        for path in json_files(&self.root.join("images"))? {
            let stem = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            if stem.starts_with(prefix) {
                fitting.extend(Digest::from_hex(stem).ok());
            }
        }
        match fitting[..] {
            [] => Ok(None),
            [id] => Ok(Some(Found { id, name: None })),
            _ => Err(Error::Several {
                prefix: name_or_id.to_owned(),
                count: fitting.len(),
            }),
        }
    }
}
