//! Reads what is copied into a guest: the files of a ConfigMap, a Secret, a projection, or one
//! file such as `/etc/hosts`. Symbolic links are copied as links, for the kubelet's atomic swap
//! (`..data`) is made of them; nothing is followed.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use skete_agent_api::agent;

/// The most bytes of one file. A ConfigMap or Secret has at most 1 MiB.
pub const MAX_FILE_BYTES: u64 = 3 << 20;
/// The most bytes of one volume.
pub const MAX_VOLUME_BYTES: u64 = 32 << 20;
/// The most entries of one volume.
pub const MAX_ENTRIES: usize = 20_000;

/// Why files could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum HostFilesError {
    /// A file or directory.
    #[error("read {path}")]
    Io {
        /// On the host.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Larger than a volume of files may be.
    #[error("{path} is larger than the {limit} {unit} that can be copied into a guest")]
    TooLarge {
        /// On the host.
        path: PathBuf,
        /// How many are allowed.
        limit: u64,
        /// `bytes` or `entries`.
        unit: &'static str,
    },
    /// A device, socket or FIFO, or a name that is not UTF-8.
    #[error("{0} is neither a file, a directory nor a link, or its name is not UTF-8")]
    Unsuitable(PathBuf),
}

/// One regular file, under its own name.
///
/// # Errors
/// If it cannot be read or is too large.
pub fn read_file(path: &Path) -> Result<Vec<agent::File>, HostFilesError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| HostFilesError::Unsuitable(path.to_owned()))?;
    let meta = metadata(path)?;
    Ok(vec![entry(path, name, &meta)?])
}

/// Everything below a directory, parents before what they hold.
///
/// # Errors
/// If something cannot be read, is too large, or is no file, directory or link.
pub fn read_tree(root: &Path) -> Result<Vec<agent::File>, HostFilesError> {
    let too_large = |limit, unit| HostFilesError::TooLarge {
        path: root.to_owned(),
        limit,
        unit,
    };
    let mut files = Vec::new();
    let mut bytes = 0;
    let mut pending = vec![PathBuf::new()];
    while let Some(dir) = pending.pop() {
        for path in list(&root.join(&dir))? {
            let below = path.strip_prefix(root).unwrap_or(&path);
            let name = below
                .to_str()
                .ok_or_else(|| HostFilesError::Unsuitable(path.clone()))?;
            let meta = metadata(&path)?;
            if meta.is_dir() {
                pending.push(below.to_owned());
            }
            let file = entry(&path, name, &meta)?;
            bytes += file.content.len() as u64;
            files.push(file);
            if bytes > MAX_VOLUME_BYTES {
                return Err(too_large(MAX_VOLUME_BYTES, "bytes"));
            }
            if files.len() > MAX_ENTRIES {
                return Err(too_large(MAX_ENTRIES as u64, "entries"));
            }
        }
    }
    Ok(files)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> HostFilesError {
    let path = path.to_owned();
    |source| HostFilesError::Io { path, source }
}

fn metadata(path: &Path) -> Result<Metadata, HostFilesError> {
    path.symlink_metadata().map_err(failed(path))
}

/// Sorted, so that a volume is always given in the same order.
fn list(dir: &Path) -> Result<Vec<PathBuf>, HostFilesError> {
    let entries = fs::read_dir(dir).map_err(failed(dir))?;
    let paths: io::Result<Vec<_>> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(failed(dir))?;
    paths.sort();
    Ok(paths)
}

fn entry(path: &Path, name: &str, meta: &Metadata) -> Result<agent::File, HostFilesError> {
    let content = if meta.is_symlink() {
        fs::read_link(path)
            .map_err(failed(path))?
            .as_os_str()
            .as_bytes()
            .to_vec()
    } else if meta.is_file() {
        content(path)?
    } else if meta.is_dir() {
        Vec::new()
    } else {
        return Err(HostFilesError::Unsuitable(path.to_owned()));
    };
    Ok(agent::File {
        path: name.to_owned(),
        mode: meta.mode(),
        uid: meta.uid(),
        gid: meta.gid(),
        content,
        ..Default::default()
    })
}

fn content(path: &Path) -> Result<Vec<u8>, HostFilesError> {
    // It may have been swapped for something else since it was looked at.
    let flags = (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits();
    let file = File::options()
        .read(true)
        .custom_flags(flags as i32)
        .open(path);
    let mut content = Vec::new();
    file.and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content))
        .map_err(failed(path))?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(HostFilesError::TooLarge {
            path: path.to_owned(),
            limit: MAX_FILE_BYTES,
            unit: "bytes",
        });
    }
    Ok(content)
}

#[cfg(test)]
#[path = "host_files_test.rs"]
mod tests;
