//! What is installed: one directory per version, side by side, and a link to the current one. A
//! Pod's shim finds its parts relative to its own file, so that Pods that run keep their version.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::FileError;
use crate::files;

/// Programs, below an installation's prefix.
const PROGRAMS: [&str; 4] = ["bin/skete", SHIM, "bin/skete-vsock", MKFS];
/// Files of the guest.
const GUEST: [&str; 2] = ["share/skete/vmlinux", "share/skete/initramfs.cpio"];
/// The shim, below the prefix.
pub(crate) const SHIM: &str = "bin/containerd-shim-skete-v2";
const MKFS: &str = "bin/skete-mkfs-erofs";
/// The directory that goes on containerd's `PATH`: it holds `mkfs.erofs` and nothing else.
pub(crate) const LIBEXEC: &str = "libexec";
/// Digits of the hash in a version's name.
const DIGITS: usize = 12;

/// Why files could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of the installation that this program belongs to is not there.
    #[error(
        "{} is missing: `skete node install` installs what it belongs to itself; build that with \
         `cargo xtask install`",
        .0.display()
    )]
    Incomplete(PathBuf),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The versions below a prefix.
#[derive(Debug, Clone)]
pub struct Versions {
    prefix: PathBuf,
}

impl Versions {
    /// Below `prefix`, which need not be there.
    #[must_use]
    pub fn below(prefix: &Path) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    /// The link to the current version: paths through it stay when versions change.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.prefix.join("current")
    }

    /// The name of the current version.
    #[must_use]
    pub fn current_name(&self) -> Option<String> {
        let target = fs::read_link(self.current()).ok()?;
        target.file_name()?.to_str().map(str::to_owned)
    }

    fn all(&self) -> PathBuf {
        self.prefix.join("versions")
    }

    /// One version's directory.
    #[must_use]
    pub fn directory(&self, name: &str) -> PathBuf {
        self.all().join(name)
    }

    /// Copies an installation to be a version; its name. One that is there already is left.
    ///
    /// # Errors
    /// The installation is not complete, or a file cannot be written.
    pub fn add(&self, source: &Path) -> Result<String, Error> {
        let hash = hash(source)?;
        let name = format!("{}-{}", env!("CARGO_PKG_VERSION"), &hash[..DIGITS]);
        let directory = self.directory(&name);
        if self::hash(&directory).is_ok_and(|there| there == hash) {
            return Ok(name);
        }
        files::remove_tree(&directory)?;
        let new = self.directory(&format!(".{name}.new"));
        files::remove_tree(&new)?;
        let copied = copy_all(source, &new).and_then(|()| {
            let moved = fs::rename(&new, &directory);
            Ok(moved.map_err(FileError::about("create", &directory))?)
        });
        if copied.is_err() {
            // The first error is the one to tell.
            let _ = files::remove_tree(&new);
        }
        copied.map(|()| name)
    }

    /// Makes a version the current one.
    ///
    /// # Errors
    /// The link cannot be replaced.
    pub fn switch(&self, name: &str) -> Result<(), FileError> {
        let link = self.current();
        let new = self.prefix.join("current.new");
        files::remove_file(&new)?;
        symlink(Path::new("versions").join(name), &new)
            .and_then(|()| fs::rename(&new, &link))
            .map_err(FileError::about("create", &link))
    }

    /// Removes the versions that are neither current nor run by a process.
    ///
    /// # Errors
    /// One cannot be removed.
    pub fn remove_unused(&self) -> Result<(), FileError> {
        let current = self.current_name();
        let used = executables();
        for entry in fs::read_dir(self.all()).into_iter().flatten().flatten() {
            let directory = entry.path();
            let is_current = current.as_deref() == entry.file_name().to_str();
            if !is_current && !used.iter().any(|used| used.starts_with(&directory)) {
                files::remove_tree(&directory)?;
            }
        }
        Ok(())
    }

    /// Removes all of them, and the link.
    ///
    /// # Errors
    /// Something of it stays.
    pub fn remove_all(&self) -> Result<(), FileError> {
        files::remove_file(&self.current())?;
        files::remove_tree(&self.all())
    }
}

/// The hash over all files of an installation, in hexadecimal digits.
fn hash(source: &Path) -> Result<String, Error> {
    let mut hasher = Sha256::new();
    for part in PROGRAMS.iter().chain(&GUEST) {
        let path = source.join(part);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Incomplete(path));
            }
            opened => opened.map_err(FileError::about("read", &path))?,
        };
        let mut one = Sha256::new();
        io::copy(&mut file, &mut HashWriter(&mut one)).map_err(FileError::about("read", &path))?;
        // Of hashes, so that no byte can move from one file to the next unseen.
        hasher.update(one.finalize());
    }
    Ok(hex(&hasher.finalize()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn copy_all(source: &Path, to: &Path) -> Result<(), Error> {
    for (parts, mode) in [(&PROGRAMS[..], 0o755), (&GUEST[..], 0o644)] {
        for part in parts {
            copy(&source.join(part), &to.join(part), mode)?;
        }
    }
    let libexec = to.join(LIBEXEC);
    let link = libexec.join("mkfs.erofs");
    fs::create_dir(&libexec)
        .and_then(|()| symlink(Path::new("..").join(MKFS), &link))
        .map_err(FileError::about("create", &link))?;
    Ok(())
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<(), FileError> {
    let copy = || {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(from, to)?;
        let file = File::open(to)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        // A version is taken by its name afterwards: it has to be whole after a loss of power.
        file.sync_all()
    };
    copy().map_err(FileError::about("write", to))
}

/// The programs of all processes; those that cannot be looked at are left out.
fn executables() -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| fs::read_link(process.path().join("exe")).ok())
        .collect()
}

#[cfg(test)]
#[path = "versions_test.rs"]
mod tests;
