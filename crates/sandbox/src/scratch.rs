//! The scratch disk: an empty ext4 file system for writable layers and emptyDirs, as large as the
//! Pod's ephemeral storage. Formatting costs a process and tens of milliseconds, so that a size is
//! formatted once and its few blocks of metadata are copied for each Pod; the rest is a hole.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{SeekFrom, seek};

use crate::layout::Layout;

/// The smallest scratch disk, in bytes: ext4 wants some room.
pub const MIN_BYTES: u64 = 16 << 20;

/// Why there is no scratch disk.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// A file of the host.
    #[error("{action} {path}")]
    Io {
        /// `create`, `copy to`, `rename to` or `count the scratch disk in`.
        action: &'static str,
        /// On the host's disk.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// `mkfs.ext4` is not installed.
    #[error("mkfs.ext4 is needed to format scratch disks: install e2fsprogs")]
    NoMkfs(#[source] io::Error),
    /// `mkfs.ext4` failed.
    #[error("mkfs.ext4 {path}: {message}")]
    Mkfs {
        /// The template.
        path: PathBuf,
        /// The first line it wrote on its standard error.
        message: String,
    },
}

/// Makes the scratch disk `path` of `bytes` (at least [`MIN_BYTES`], rounded up to 1 MiB) from the
/// template of that size in `templates`, which is formatted if it is not there.
///
/// # Errors
/// If the host's disk is full, or `mkfs.ext4` is missing or fails.
pub fn create(templates: &Path, path: &Path, bytes: u64) -> Result<(), ScratchError> {
    let mib = bytes.max(MIN_BYTES).div_ceil(1 << 20);
    let template = templates.join(format!("{mib}M.ext4"));
    if !template.exists() {
        format(&template, mib << 20)?;
    }
    copy_data(&template, path).map_err(|source| ScratchError::Io {
        action: "copy to",
        path: path.to_owned(),
        source,
    })
}

/// Gives the scratch disk a second name in the directory of its Pod's logs. The kubelet counts the
/// blocks of files there as ephemeral storage of the Pod, and evicts it for them; what the guest
/// has written it cannot see elsewhere.
///
/// # Errors
/// If the directory is on another file system.
pub fn count(layout: &Layout, logs: &Path) -> Result<(), ScratchError> {
    let name = logs.join(format!("{}.scratch", layout.id()));
    let counted = layout.scratch_counted();
    // First, so that whoever removes the sandbox finds it.
    let linked = std::os::unix::fs::symlink(&name, &counted)
        .and_then(|()| fs::hard_link(layout.scratch(), &name));
    linked.map_err(|source| ScratchError::Io {
        action: "count the scratch disk in",
        path: logs.to_owned(),
        source,
    })
}

/// Takes the second name away, if there is one.
///
/// # Errors
/// If it cannot be removed.
pub fn uncount(layout: &Layout) -> io::Result<()> {
    let Ok(name) = fs::read_link(layout.scratch_counted()) else {
        return Ok(());
    };
    match fs::remove_file(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Formats under a name of its own and renames, so that no other process sees half a template.
fn format(template: &Path, bytes: u64) -> Result<(), ScratchError> {
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ScratchError::Io {
            action,
            path,
            source,
        }
    };
    let dir = template.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(dir).map_err(io("create", dir))?;
    let new = template.with_extension(format!("{}.new", std::process::id()));
    let made = (|| {
        let file = File::create(&new).map_err(io("create", &new))?;
        file.set_len(bytes).map_err(io("create", &new))?;
        let output = Command::new("mkfs.ext4")
            // No journal: after a crash nobody reads a scratch disk again. Inode tables stay
            // holes until they are used. Nothing is kept back for root.
            .args([
                "-q",
                "-F",
                "-b",
                "4096",
                "-m",
                "0",
                "-O",
                "^has_journal,^resize_inode",
            ])
            .args(["-E", "lazy_itable_init=1,nodiscard,root_owner=0:0"])
            .args(["-U", "6e0f3c1a-5ce7-4e00-8000-000000000000"])
            .args([OsStr::new("--"), new.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .map_err(ScratchError::NoMkfs)?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let message = stderr.lines().last().unwrap_or("no message").to_owned();
            return Err(ScratchError::Mkfs {
                path: new.clone(),
                message,
            });
        }
        fs::rename(&new, template).map_err(io("rename to", template))
    })();
    if made.is_err() {
        let _ = fs::remove_file(&new);
    }
    made
}

/// Copies what is not a hole.
fn copy_data(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(to)?;
    let end = source.metadata()?.len();
    target.set_len(end)?;
    let mut position = 0;
    while position < end {
        let data = match seek(&source, SeekFrom::Data(position)) {
            Ok(data) => data,
            // Holes up to the end.
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let hole = seek(&source, SeekFrom::Hole(data))?;
        copy_range(&source, &target, data, hole)?;
        position = hole;
    }
    Ok(())
}

fn copy_range(source: &File, mut target: &File, start: u64, end: u64) -> io::Result<()> {
    seek(source, SeekFrom::Start(start))?;
    seek(target, SeekFrom::Start(start))?;
    // In the kernel, where it can: the two may be on different file systems.
    let copied = io::copy(&mut source.take(end - start), &mut target)?;
    if copied < end - start {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

#[cfg(test)]
#[path = "scratch_test.rs"]
mod tests;
