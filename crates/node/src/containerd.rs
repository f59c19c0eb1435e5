//! The node's containerd: its version, and its configuration as it puts it together itself.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, TomlError, Value};

use crate::config::{DIFF, EROFS, IMAGES, RUNTIME};
use crate::program;

/// The first version that merges an imported file's tables into the main file's.
pub const OLDEST: (u32, u32) = (2, 2);
/// The first version whose transfer service unpacks images for the EROFS snapshotter unasked.
const UNPACKS_EROFS: (u32, u32) = (2, 3);
/// Where containerd's Unix socket is unless it is told otherwise.
const DEFAULT_ADDRESS: &str = "/run/containerd/containerd.sock";

/// What is wrong with a node's containerd.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there.
    #[error(
        "containerd is not on PATH: install containerd 2.2 or later, or say where it is with --containerd"
    )]
    Missing,
    /// It does not say what it is.
    #[error("{program} does not tell its version, but `{said}`")]
    NoVersion {
        /// The program.
        program: PathBuf,
        /// Its answer.
        said: String,
    },
    /// It is too old.
    #[error("{program} is of version {}.{}, Skete needs {}.{} or later: upgrade it first", found.0, found.1, OLDEST.0, OLDEST.1)]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its version.
        found: (u32, u32),
    },
    /// It does not take its configuration.
    #[error("containerd does not take its configuration {path}")]
    Refused {
        /// The main file.
        path: PathBuf,
        /// What it says.
        #[source]
        source: program::Error,
    },
    /// What it prints is no TOML.
    #[error("`containerd config dump` of {path} is no TOML")]
    Dump {
        /// The main file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: TomlError,
    },
    /// It does not answer.
    #[error("containerd does not answer at {address}: start it, and look at its log")]
    Silent {
        /// Its socket.
        address: String,
        /// What `ctr` says.
        #[source]
        source: program::Error,
    },
    /// A program could not be run.
    #[error(transparent)]
    Program(#[from] program::Error),
}

/// A node's containerd.
#[derive(Debug, Clone)]
pub struct Containerd {
    program: PathBuf,
    config: PathBuf,
    version: (u32, u32),
}

impl Containerd {
    /// `program`, or the one on `PATH`, with the main file `config`.
    ///
    /// # Errors
    /// It is not there, does not run, or is too old.
    pub fn find(program: Option<&Path>, config: &Path) -> Result<Self, Error> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => program::find_own("containerd").map_err(|_| Error::Missing)?,
        };
        let said = program::run(&program, &["--version"])?;
        let Some(version) = parse_version(&said) else {
            let said = said.trim().chars().take(200).collect();
            return Err(Error::NoVersion { program, said });
        };
        if version < OLDEST {
            return Err(Error::TooOld {
                program,
                found: version,
            });
        }
        Ok(Self {
            program,
            config: config.to_owned(),
            version,
        })
    }

    /// Major and minor.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The configuration as it is in effect when this containerd starts, imports and defaults
    /// included.
    ///
    /// # Errors
    /// containerd does not take it.
    pub fn effective(&self) -> Result<Effective, Error> {
        let path = &self.config;
        let arguments = [
            "--config".as_ref(),
            path.as_os_str(),
            "config".as_ref(),
            "dump".as_ref(),
        ];
        let text = program::run(&self.program, &arguments).map_err(|source| Error::Refused {
            path: path.clone(),
            source,
        })?;
        let document = text.parse().map_err(|source| Error::Dump {
            path: path.clone(),
            source,
        })?;
        Ok(Effective {
            document,
            version: self.version,
        })
    }

    /// What the containerd that runs says of its plugins, by `TYPE ID`; the `ctr` beside it asks.
    ///
    /// # Errors
    /// There is no such `ctr`, or containerd does not answer.
    pub fn plugins(&self, address: &str) -> Result<Vec<(String, String)>, Error> {
        let ctr = self.program.with_file_name("ctr");
        let text = program::run(&ctr, &["--address", address, "plugins", "ls"]);
        let text = text.map_err(|source| Error::Silent {
            address: address.to_owned(),
            source,
        })?;
        Ok(text.lines().skip(1).filter_map(parse_plugin).collect())
    }
}

/// A line of `ctr plugins ls`: type, id, platforms, state.
fn parse_plugin(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let name = format!("{} {}", words.next()?, words.next()?);
    Some((name, words.next_back()?.to_owned()))
}

/// `containerd github.com/containerd/containerd/v2 v2.4.2 REVISION`
fn parse_version(said: &str) -> Option<(u32, u32)> {
    let mut words = said.split_whitespace();
    if words.next() != Some("containerd") {
        return None;
    }
    words.find_map(|word| {
        let mut numbers = word.strip_prefix('v').unwrap_or(word).split('.');
        let mut number = || numbers.next()?.parse().ok();
        Some((number()?, number()?))
    })
}

/// containerd's configuration, all files and defaults together.
#[derive(Debug, Clone)]
pub struct Effective {
    document: DocumentMut,
    version: (u32, u32),
}

impl Effective {
    /// What runs a runtime's Pods: the shim's path, or the name that containerd finds it by. `None`
    /// if there is no such runtime.
    #[must_use]
    pub fn runtime_type(&self, handler: &str) -> Option<&str> {
        let runtimes = self.plugin(RUNTIME)?.get("containerd")?.get("runtimes")?;
        let runtime = runtimes.get(handler)?;
        Some(
            runtime
                .get("runtime_type")
                .and_then(Item::as_str)
                .unwrap_or_default(),
        )
    }

    /// The differs in the order in which they are asked.
    #[must_use]
    pub fn differs(&self) -> Vec<String> {
        let order = self.plugin(DIFF).and_then(|diff| diff.get("default"));
        let order = order.and_then(Item::as_array).into_iter().flatten();
        order.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Whether compressed layers are removed once they are unpacked: for one snapshotter, so that
    /// none is left to unpack for another.
    #[must_use]
    pub fn discards_layers(&self) -> bool {
        let discard = self
            .plugin(IMAGES)
            .and_then(|images| images.get("discard_unpacked_layers"));
        discard.and_then(Item::as_bool).unwrap_or(false)
    }

    /// Whether a pull can unpack for the EROFS snapshotter at once: by the transfer service's
    /// defaults, or by what somebody has configured in their place.
    #[must_use]
    pub fn pulls_unpack_erofs(&self) -> bool {
        let transfer = self.plugin("io.containerd.transfer.v1.local");
        match transfer.and_then(|transfer| transfer.get("unpack_config")) {
            None => self.version >= UNPACKS_EROFS,
            Some(configured) => configured.to_string().contains(EROFS),
        }
    }

    /// Where containerd listens.
    #[must_use]
    pub fn address(&self) -> &str {
        // A plugin's setting since 2.3.
        let plugin = self.plugin("io.containerd.server.v1.grpc");
        let table = plugin.or_else(|| self.document.get("grpc"));
        table
            .and_then(|grpc| grpc.get("address"))
            .and_then(Item::as_str)
            .filter(|address| !address.is_empty())
            .unwrap_or(DEFAULT_ADDRESS)
    }

    fn plugin(&self, id: &str) -> Option<&Item> {
        self.document.get("plugins")?.get(id)
    }
}

#[cfg(test)]
#[path = "containerd_test.rs"]
mod tests;
