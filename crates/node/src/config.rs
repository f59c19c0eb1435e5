//! containerd's configuration: one `imports` line in its main file, where it has none that fits,
//! and one file of ours that is imported.
//!
//! Imported tables are merged key by key into those of the main file since containerd 2.2; an
//! array replaces the one it meets. (Before, a plugin's whole table was replaced.)

use std::fmt::Write;
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, TomlError, Value};

/// Name of the imported file.
pub const DROP_IN: &str = "skete.toml";

/// Plugins, by containerd's names for them.
pub(crate) const RUNTIME: &str = "io.containerd.cri.v1.runtime";
pub(crate) const IMAGES: &str = "io.containerd.cri.v1.images";
pub(crate) const DIFF: &str = "io.containerd.service.v1.diff-service";
/// The snapshotter that hands layers over as EROFS images, and the differ that makes them.
pub(crate) const EROFS: &str = "erofs";

/// What is wrong with containerd's configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no TOML.
    #[error("{path} cannot be read as TOML: correct it first")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: TomlError,
    },
    /// It is of a version whose tables have other names.
    #[error(
        "{path} is of version {version}, Skete needs 3 or later: run `containerd config migrate`, \
         review what it prints, and put that in the file's place"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// As it says, or as containerd takes it to be without a word.
        version: i64,
    },
    /// `imports` is not an array of strings.
    #[error("{path}: `imports` is no array of strings: correct it first")]
    Imports {
        /// The file.
        path: PathBuf,
    },
}

/// containerd's main file.
#[derive(Debug, Clone)]
pub struct Main {
    path: PathBuf,
    document: DocumentMut,
}

impl Main {
    /// What a node without a file gets, before the imports: containerd's defaults.
    pub const MINIMAL: &str = "version = 3\n";

    /// Reads the file's text.
    ///
    /// # Errors
    /// It is no TOML, too old, or its imports are no strings.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        let path = path.to_owned();
        let document: DocumentMut = text.parse().map_err(|source| Error::Parse {
            path: path.clone(),
            source,
        })?;
        let main = Self { path, document };
        match main.version() {
            3.. => {}
            version => {
                return Err(Error::Version {
                    path: main.path,
                    version,
                });
            }
        }
        let strings = main.document.get("imports").is_none_or(|imports| {
            imports
                .as_array()
                .is_some_and(|array| array.iter().all(Value::is_str))
        });
        if strings {
            Ok(main)
        } else {
            Err(Error::Imports { path: main.path })
        }
    }

    /// Its version; containerd takes a file that names none to be of version 1.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.document
            .get("version")
            .and_then(Item::as_integer)
            .unwrap_or(1)
    }

    /// Files and patterns that it imports.
    pub fn imports(&self) -> impl Iterator<Item = &str> {
        self.document
            .get("imports")
            .and_then(Item::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    }

    /// The directory all of whose `.toml` files it imports: the first, if there are several.
    #[must_use]
    pub fn drop_in_directory(&self) -> Option<PathBuf> {
        self.imports().find_map(|pattern| {
            let pattern = self.absolute(pattern);
            let directory = pattern.parent()?;
            let name = pattern.file_name()?.to_str()?;
            let is_plain = !directory.to_str()?.contains(['*', '?', '[', '\\']);
            (is_plain && matches!(name, "*.toml" | "*")).then(|| directory.to_owned())
        })
    }

    /// Relative paths are so to the file's directory, as containerd takes them.
    fn absolute(&self, pattern: &str) -> PathBuf {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        directory.join(pattern)
    }

    /// Imports one pattern more. The rest of the file stays as it is.
    pub fn add_import(&mut self, pattern: &str) {
        let imports = self.document.entry("imports");
        let imports = imports.or_insert_with(|| Array::new().into());
        if let Some(array) = imports.as_array_mut() {
            array.push(pattern);
        }
    }

    /// Takes back what [`Main::add_import`] did.
    pub fn remove_import(&mut self, pattern: &str) {
        let Some(array) = self
            .document
            .get_mut("imports")
            .and_then(Item::as_array_mut)
        else {
            return;
        };
        array.retain(|value| value.as_str() != Some(pattern));
        if array.is_empty() {
            self.document.remove("imports");
        }
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        self.document.to_string()
    }
}

/// What the imported file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropIn<'a> {
    /// Of the main file: 3 or later.
    pub version: i64,
    /// RuntimeClasses name the runtime so.
    pub handlers: &'a [String],
    /// The shim.
    pub shim: &'a Path,
    /// Differs that containerd asks in turn, none of them for EROFS.
    pub differs: &'a [String],
    /// Whether images that are pulled for a handler are unpacked for its snapshotter at once.
    pub unpack_for_handler: bool,
}

impl DropIn<'_> {
    /// As TOML.
    ///
    /// There are no `pod_annotations`: to a shim that is its own sandboxer, containerd hands all
    /// annotations of a Pod over, and the shim itself refuses those that the node does not allow.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "# Made by `skete node install`, and removed by `skete node uninstall`. Changes are lost.\n\
             version = {}\n",
            self.version
        );
        let quoted = |value: &str| Value::from(value).to_string();
        let shim = quoted(&self.shim.to_string_lossy());
        for handler in self.handlers {
            let key = quoted(handler);
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n[plugins.\"{RUNTIME}\".containerd.runtimes.{key}]\n\
                 # A path, for to a shim that is its own sandboxer no `runtime_path` applies.\n\
                 runtime_type = {shim}\n\
                 # The shim makes the sandbox: a VM, without a pause container or its image.\n\
                 sandboxer = \"shim\"\n\
                 disable_pause_image_pull = true\n\
                 # A privileged container has the VM's devices, and none of the host's.\n\
                 privileged_without_host_devices = true\n\
                 privileged_without_host_devices_all_devices_allowed = true\n\
                 # Layers are EROFS images, which become the VM's disks.\n\
                 snapshotter = \"{EROFS}\"\n"
            );
            if self.unpack_for_handler {
                let _ = write!(
                    text,
                    "\n[plugins.\"{IMAGES}\".runtime_platforms.{key}]\n\
                     snapshotter = \"{EROFS}\"\n"
                );
            }
        }
        let mut differs = Array::from_iter([EROFS]);
        differs.extend(self.differs.iter().map(String::as_str));
        let _ = write!(
            text,
            "\n[plugins.\"{DIFF}\"]\n\
             # The EROFS differ leaves other snapshotters' layers to the next.\n\
             default = {differs}\n"
        );
        text
    }
}

#[cfg(test)]
#[path = "config_test.rs"]
mod tests;
