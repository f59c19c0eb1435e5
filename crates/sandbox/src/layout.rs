//! Where a sandbox keeps what on the host. Every name follows from the sandbox's id alone, so
//! that whoever cleans up after a crash needs no record of what was made.

use std::path::{Path, PathBuf};
use std::{env, fmt, io};

use skete_usage::Directory;

/// Environment variable that moves [`Roots::run`].
pub const RUN_ROOT_ENV: &str = "SKETE_RUN_ROOT";
/// Environment variable that moves [`Roots::state`].
pub const STATE_ROOT_ENV: &str = "SKETE_ROOT";

/// The longest path a Unix socket may have, in bytes, without the closing NUL (`unix(7)`).
const MAX_SOCKET_PATH: usize = 107;

/// The two directories under which everything lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// What does not outlive a reboot: sockets, state of running sandboxes.
    pub run: PathBuf,
    /// What does: images, scratch disks, records.
    pub state: PathBuf,
}

/// A sandbox's id or namespace that cannot be a directory's name, or a path that grew too long.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Not one path component of letters, digits, `-`, `_` and `.`.
    #[error("{what} `{value}` is not a name of letters, digits, `-`, `_` and `.`")]
    BadName {
        /// `sandbox id` or `namespace`.
        what: &'static str,
        /// As it was given.
        value: String,
    },
    /// A Unix socket could not have this path.
    #[error(
        "{path} is too long for a socket ({length} of at most {MAX_SOCKET_PATH} bytes): \
         choose a shorter {RUN_ROOT_ENV}"
    )]
    PathTooLong {
        /// The socket's path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
}

impl Roots {
    /// `/run/skete` and `/var/lib/skete`, or where [`RUN_ROOT_ENV`] and [`STATE_ROOT_ENV`] say.
    #[must_use]
    pub fn from_env() -> Self {
        let root = |variable, default: &str| {
            env::var_os(variable)
                .filter(|value| !value.is_empty())
                .map_or_else(|| PathBuf::from(default), PathBuf::from)
        };
        Self {
            run: root(RUN_ROOT_ENV, "/run/skete"),
            state: root(STATE_ROOT_ENV, "/var/lib/skete"),
        }
    }

    /// Holds one directory per namespace, and in it one per sandbox.
    #[must_use]
    pub fn sandboxes(&self) -> PathBuf {
        self.run.join("sandboxes")
    }

    /// The sandboxes that there are, with their namespaces, in the order of their names. What
    /// cannot be one is left out.
    #[must_use]
    pub fn layouts(&self) -> Vec<(String, Layout)> {
        let mut found = Vec::new();
        for namespace in names(&self.sandboxes()) {
            for id in names(&self.sandboxes().join(&namespace)) {
                if let Ok(layout) = Layout::new(self, &namespace, &id) {
                    found.push((namespace.clone(), layout));
                }
            }
        }
        found
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// One sandbox's paths.
#[derive(Debug, Clone)]
pub struct Layout {
    id: String,
    namespace: String,
    run: PathBuf,
    state: PathBuf,
    roots: Roots,
}

impl Layout {
    /// The paths of sandbox `id` of containerd namespace `namespace`. Makes nothing.
    ///
    /// # Errors
    /// If a name could leave its directory, or a socket's path would be too long.
    pub fn new(roots: &Roots, namespace: &str, id: &str) -> Result<Self, LayoutError> {
        check_name("namespace", namespace)?;
        check_name("sandbox id", id)?;
        let below = |root: &Path| root.join("sandboxes").join(namespace).join(id);
        let layout = Self {
            id: id.to_owned(),
            namespace: namespace.to_owned(),
            run: below(&roots.run),
            state: below(&roots.state),
            roots: roots.clone(),
        };
        let path = layout.vhost_socket();
        match path.as_os_str().len() {
            length if length > MAX_SOCKET_PATH => Err(LayoutError::PathTooLong { path, length }),
            _ => Ok(layout),
        }
    }

    /// The sandbox's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The namespace, containerd's or `skete`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The usage journals of this machine. They are no part of the sandbox: they stay.
    #[must_use]
    pub fn journals(&self) -> Directory {
        Directory::below(&self.roots.state)
    }

    /// Sockets, the monitor's files and the console's log.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The scratch disk.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Where the vsock device takes `CONNECT port` from the engine.
    #[must_use]
    pub fn vsock(&self) -> PathBuf {
        self.run.join("vsock")
    }

    /// Where the monitor finds the vsock device.
    #[must_use]
    pub fn vhost_socket(&self) -> PathBuf {
        self.run.join("vhost")
    }

    /// What the Pod's interfaces had before their taps took it over.
    #[must_use]
    pub fn network_state(&self) -> PathBuf {
        self.run.join("network.json")
    }

    /// What the guest printed on its console, bounded.
    #[must_use]
    pub fn console_log(&self) -> PathBuf {
        self.run.join("console.log")
    }

    /// What the sandbox's cgroup is called, so that cleaning up finds it when containerd gave the
    /// sandbox a parent of its own choice.
    #[must_use]
    pub fn cgroup_file(&self) -> PathBuf {
        self.run.join("cgroup")
    }

    /// Which Pod it is, and how large its VM.
    #[must_use]
    pub fn description(&self) -> PathBuf {
        self.run.join("pod.json")
    }

    /// The disk for writable layers and emptyDirs.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.state.join("scratch.img")
    }

    /// A link to the scratch disk's second name.
    #[must_use]
    pub fn scratch_counted(&self) -> PathBuf {
        self.state.join("counted")
    }

    /// Where the trial of KVM keeps its result until the machine starts anew.
    #[must_use]
    pub fn probe_cache(&self) -> &Path {
        &self.roots.run
    }

    /// Formatted, empty scratch disks to copy, one per size.
    #[must_use]
    pub fn scratch_templates(&self) -> PathBuf {
        self.roots.state.join("scratch")
    }

    /// Makes both directories, closed to everybody but root.
    ///
    /// # Errors
    /// If a directory cannot be made.
    pub fn create(&self) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.run)?;
        builder.create(&self.state)
    }

    /// Removes both directories with all that is in them. Fine if they are gone.
    ///
    /// # Errors
    /// If one is there and cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        for dir in [&self.run, &self.state] {
            match std::fs::remove_dir_all(dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            // The namespace's own directory goes with its last sandbox; the others keep it.
            if let Some(parent) = dir.parent() {
                let _ = std::fs::remove_dir(parent);
            }
        }
        Ok(())
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

fn check_name(what: &'static str, value: &str) -> Result<(), LayoutError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if value.is_empty() || value.starts_with('.') || !value.chars().all(plain) {
        return Err(LayoutError::BadName {
            what,
            value: value.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
#[path = "layout_test.rs"]
mod tests;
