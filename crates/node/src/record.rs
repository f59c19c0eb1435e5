//! What an installation has changed on the node, written down before it is changed: enough to take
//! it back, whenever the installation was interrupted.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::FileError;
use crate::files;
use crate::label::Label;
use crate::versions::hex;

/// The form of the record.
const SCHEMA: u32 = 1;

/// Why there is no record to go by.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is none of this program's.
    #[error("{path} cannot be understood: it was made by another version of skete, or damaged")]
    Parse {
        /// The record.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// It was made by a later program.
    #[error(
        "{path} is of form {found}, this skete knows {SCHEMA}: use the skete that installed it"
    )]
    Schema {
        /// The record.
        path: PathBuf,
        /// As it says.
        found: u32,
    },
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    schema: u32,
    /// RuntimeClasses name the runtime so.
    pub handlers: Vec<String>,
    /// containerd's main file.
    pub containerd_config: PathBuf,
    /// The file that it imports.
    pub drop_in: PathBuf,
    /// The line in the main file, if it needed one.
    pub edit: Option<Edit>,
    /// The differs that containerd asked before.
    pub differs: Vec<String>,
    /// Further files.
    pub files: Vec<PathBuf>,
    /// Directories that were not there, the outermost first.
    pub directories: Vec<PathBuf>,
    /// The node's label, once it is set.
    pub label: Option<Label>,
}

/// What was done to containerd's main file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// The pattern that was added to its imports.
    pub import: String,
    /// Whether there was a file; its bytes are in [`Record::backup`].
    pub existed: bool,
    /// SHA-256 of the file afterwards, in hexadecimal digits.
    pub after: String,
}

impl Edit {
    /// What [`Edit::after`] holds of a text.
    pub(crate) fn digest(text: &str) -> String {
        hex(&Sha256::digest(text))
    }
}

impl Record {
    /// Of an installation that has changed nothing yet.
    #[must_use]
    pub fn new(containerd_config: PathBuf, drop_in: PathBuf, differs: Vec<String>) -> Self {
        Self {
            schema: SCHEMA,
            handlers: Vec::new(),
            containerd_config,
            drop_in,
            edit: None,
            differs,
            files: Vec::new(),
            directories: Vec::new(),
            label: None,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(prefix: &Path) -> PathBuf {
        prefix.join("node.json")
    }

    /// Where containerd's main file is kept as it was.
    #[must_use]
    pub fn backup(prefix: &Path) -> PathBuf {
        prefix.join("containerd-config.toml.before")
    }

    /// The record below a prefix, if there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(prefix: &Path) -> Result<Option<Self>, Error> {
        #[derive(Deserialize)]
        struct Form {
            schema: u32,
        }
        let path = Self::path(prefix);
        let Some(text) = files::read_text(&path)? else {
            return Ok(None);
        };
        let failed = |source| Error::Parse {
            path: path.clone(),
            source,
        };
        let form: Form = serde_json::from_str(&text).map_err(failed)?;
        if form.schema != SCHEMA {
            return Err(Error::Schema {
                path,
                found: form.schema,
            });
        }
        serde_json::from_str(&text).map(Some).map_err(failed)
    }

    /// Writes it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, prefix: &Path) -> Result<(), Error> {
        let path = Self::path(prefix);
        let text = serde_json::to_string_pretty(self).map_err(|source| Error::Parse {
            path: path.clone(),
            source,
        })?;
        Ok(files::replace(&path, &(text + "\n"))?)
    }

    /// Remembers directories that will be made.
    pub(crate) fn will_make(&mut self, directory: &Path) {
        for missing in files::missing_directories(directory) {
            if !self.directories.contains(&missing) {
                self.directories.push(missing);
            }
        }
    }
}
