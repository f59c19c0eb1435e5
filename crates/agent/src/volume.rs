//! Volumes of files: ConfigMaps, Secrets, projections. They are written as the kubelet does it,
//! so that programs which watch for changes see the same events:
//!
//! ```text
//! ..2024_x/key     the files
//! ..data           -> ..2024_x, renamed into place: all files change at once
//! key              -> ..data/key
//! ```
//!
//! A set that comes from the kubelet has this form already; any other is given it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File as StdFile;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fchmod, fchown, mkdirat, readlinkat,
    renameat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use skete_agent_api::agent::File;

use crate::beneath;
use crate::failure::{Failure, Kind};

/// The link that is swapped.
const DATA: &str = "..data";
/// A link on its way into place.
const NEW_LINK: &str = "..skete_new";
/// All content of one volume together, in bytes. The API server takes 1 MiB for one object.
const MAX_CONTENT: usize = 32 << 20;
/// Entries of one volume.
const MAX_ENTRIES: usize = 65536;

/// What can be wrong with a set of files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VolumeError {
    /// A path that could leave the volume.
    #[error("`{0}` is no relative path without `..`")]
    BadPath(String),
    /// Not a file, directory or symbolic link.
    #[error("`{path}` has the mode {mode:o}: not a file, a directory or a symbolic link")]
    BadType {
        /// Which entry.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// `..data` leads to nothing in the set.
    #[error("`..data` leads to `{0}`, which is no directory of the set")]
    BadData(String),
    /// More than is reasonable.
    #[error("more than {MAX_ENTRIES} files, or {} MiB", MAX_CONTENT >> 20)]
    TooLarge,
    /// A file operation.
    #[error("cannot write `{path}`")]
    Write {
        /// Which entry.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl From<VolumeError> for Failure {
    fn from(error: VolumeError) -> Self {
        let kind = match error {
            VolumeError::Write { .. } => Kind::Internal,
            _ => Kind::InvalidArgument,
        };
        Self::of(kind, &error)
    }
}

fn write_error<E: Into<io::Error>>(path: &Path) -> impl FnOnce(E) -> VolumeError {
    let path = path.display().to_string();
    move |error| VolumeError::Write {
        path,
        source: error.into(),
    }
}

/// A volume of files, and what of it was written by us.
#[derive(Debug, Default)]
pub(crate) struct FileVolume {
    /// Names at its top that belong to the current set.
    names: BTreeSet<PathBuf>,
    /// Entries of a set of which more are to come.
    pending: Vec<File>,
    swaps: u64,
}

/// A set in the kubelet's form.
struct Layout {
    /// The directory that `..data` leads to.
    data: PathBuf,
    /// What is in it, below it.
    inside: Vec<File>,
    /// What is at the top: links to `..data/…`, as a rule.
    top: BTreeMap<PathBuf, File>,
}

impl FileVolume {
    /// Keeps entries of a set until all have come.
    pub(crate) fn add(&mut self, entries: Vec<File>) -> Result<(), VolumeError> {
        self.pending.extend(entries);
        let size = self.pending.iter().fold(0_usize, |size, file| {
            size.saturating_add(file.content.len())
        });
        if size > MAX_CONTENT || self.pending.len() > MAX_ENTRIES {
            self.pending = Vec::new();
            return Err(VolumeError::TooLarge);
        }
        Ok(())
    }

    /// Puts the set that has come in the place of the one before. What is left of that has been
    /// moved to the paths returned, to be removed by somebody with time.
    pub(crate) fn swap(&mut self, directory: &Path) -> Result<Vec<PathBuf>, VolumeError> {
        self.swaps += 1;
        let layout = Layout::of(std::mem::take(&mut self.pending), self.swaps)?;
        let root = beneath::open_root(directory).map_err(write_error(directory))?;
        let root = root.as_fd();
        let mut trash = Vec::new();
        let old = readlinkat(root, DATA, Vec::new()).ok();
        let old = old.map(|target| PathBuf::from(target.to_string_lossy().into_owned()));
        if old.as_deref() != Some(&layout.data) {
            // One of this name that is not in use is left of a set that failed.
            self.discard(root, directory, &layout.data, &mut trash)?;
            layout.write_data(root)?;
            put_link(root, &layout.data, Path::new(DATA))?;
        }
        for (name, file) in &layout.top {
            put_top(root, name, file)?;
        }
        let mut names: BTreeSet<PathBuf> = layout.top.keys().cloned().collect();
        names.insert(layout.data.clone());
        let gone: Vec<PathBuf> = self.names.difference(&names).cloned().collect();
        for name in gone {
            self.discard(root, directory, &name, &mut trash)?;
        }
        self.names = names;
        Ok(trash)
    }

    /// Takes an entry out of the way, whatever it is by now.
    fn discard(
        &mut self,
        root: BorrowedFd<'_>,
        directory: &Path,
        name: &Path,
        trash: &mut Vec<PathBuf>,
    ) -> Result<(), VolumeError> {
        match unlinkat(root, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(error) => return Err(write_error(name)(error)),
        }
        // The removal of a tree may take long, a container may have filled it.
        self.swaps += 1;
        let hidden = PathBuf::from(format!("..skete_old_{}", self.swaps));
        renameat(root, name, root, &hidden).map_err(write_error(name))?;
        trash.push(directory.join(hidden));
        Ok(())
    }
}

impl Layout {
    fn of(entries: Vec<File>, number: u64) -> Result<Self, VolumeError> {
        for file in &entries {
            if !beneath::is_plain(Path::new(&file.path)) {
                return Err(VolumeError::BadPath(file.path.clone()));
            }
            if file_type(file).is_none() {
                return Err(VolumeError::BadType {
                    path: file.path.clone(),
                    mode: file.mode,
                });
            }
        }
        match entries.iter().find(|file| file.path == DATA) {
            Some(data) => {
                let target = String::from_utf8_lossy(&data.content).into_owned();
                Self::of_kubelet(entries, target)
            }
            None => Ok(Self::of_plain(entries, number)),
        }
    }

    fn of_kubelet(entries: Vec<File>, target: String) -> Result<Self, VolumeError> {
        let data = PathBuf::from(&target);
        let hidden = target.starts_with("..") && target != DATA;
        if !hidden || data.components().count() != 1 || !beneath::is_plain(&data) {
            return Err(VolumeError::BadData(target));
        }
        let (mut inside, mut top) = (Vec::new(), BTreeMap::new());
        for mut file in entries {
            let path = PathBuf::from(&file.path);
            if file.path == DATA || path == data {
                continue;
            }
            if let Ok(below) = path.strip_prefix(&data) {
                file.path = below.to_string_lossy().into_owned();
                inside.push(file);
            } else if path.components().count() == 1 {
                top.insert(path, file);
            } else {
                return Err(VolumeError::BadPath(file.path));
            }
        }
        Ok(Self { data, inside, top })
    }

    fn of_plain(entries: Vec<File>, number: u64) -> Self {
        let mut top = BTreeMap::new();
        for file in &entries {
            let first = Path::new(&file.path).components().next();
            let Some(Component::Normal(name)) = first else {
                continue;
            };
            let link = File {
                mode: FileType::Symlink.as_raw_mode() | 0o777,
                content: format!("{DATA}/{}", name.to_string_lossy()).into_bytes(),
                ..File::default()
            };
            top.insert(PathBuf::from(name), link);
        }
        Self {
            data: PathBuf::from(format!("..skete_{number}")),
            inside: entries,
            top,
        }
    }

    fn write_data(&self, root: BorrowedFd<'_>) -> Result<(), VolumeError> {
        mkdirat(root, &self.data, Mode::from_raw_mode(0o755)).map_err(write_error(&self.data))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let data = beneath::open(root, &self.data, flags, Mode::empty(), false)
            .map_err(write_error(&self.data))?;
        for file in &self.inside {
            let path = Path::new(&file.path);
            write_entry(data.as_fd(), path, file).map_err(write_error(path))?;
        }
        Ok(())
    }
}

/// A mode without a type is a regular file's.
fn file_type(file: &File) -> Option<FileType> {
    match FileType::from_raw_mode(file.mode) {
        kind @ (FileType::RegularFile | FileType::Directory | FileType::Symlink) => Some(kind),
        _ if file.mode & 0o170_000 == 0 => Some(FileType::RegularFile),
        _ => None,
    }
}

/// Makes one entry that is not there yet; a directory may be.
fn write_entry(root: BorrowedFd<'_>, path: &Path, file: &File) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => {
            beneath::make_directories(root, parent, 0o755, false)?
        }
        _ => root.try_clone_to_owned()?,
    };
    let name = path.file_name().unwrap_or_else(|| OsStr::new("."));
    let (uid, gid) = (Some(Uid::from_raw(file.uid)), Some(Gid::from_raw(file.gid)));
    let mode = Mode::from_raw_mode(file.mode & 0o7777);
    match file_type(file) {
        Some(FileType::Directory) => {
            let directory =
                beneath::make_directories(parent.as_fd(), Path::new(name), 0o755, false)?;
            let directory: OwnedFd = beneath::open(
                directory.as_fd(),
                Path::new("."),
                OFlags::RDONLY | OFlags::DIRECTORY,
                Mode::empty(),
                false,
            )?;
            fchown(&directory, uid, gid)?;
            fchmod(&directory, mode)?;
        }
        Some(FileType::Symlink) => {
            symlinkat(OsStr::new(text(&file.content)?), &parent, name)?;
            chownat(&parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        _ => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let fd = beneath::open(
                parent.as_fd(),
                Path::new(name),
                flags,
                Mode::from_raw_mode(0o600),
                false,
            )?;
            let mut output = StdFile::from(fd);
            output.write_all(&file.content)?;
            fchown(&output, uid, gid)?;
            fchmod(&output, mode)?;
        }
    }
    Ok(())
}

fn text(bytes: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(bytes).map_err(io::Error::other)
}

/// Puts an entry at the top of a volume; a link that leads to the same place stays as it is.
fn put_top(root: BorrowedFd<'_>, name: &Path, file: &File) -> Result<(), VolumeError> {
    let kind = file_type(file);
    if kind == Some(FileType::Symlink) {
        let target = text(&file.content).map_err(write_error(name))?;
        let current = readlinkat(root, name, Vec::new());
        if current.is_ok_and(|current| current.to_bytes() == target.as_bytes()) {
            return Ok(());
        }
        return put_link(root, Path::new(target), name);
    }
    if kind == Some(FileType::Directory) && statat(root, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Ok(());
    }
    let _ = unlinkat(root, NEW_LINK, AtFlags::empty());
    let temporary = Path::new(NEW_LINK);
    write_entry(root, temporary, file).map_err(write_error(name))?;
    renameat(root, temporary, root, name).map_err(write_error(name))
}

/// Puts a link in its place in one step.
fn put_link(root: BorrowedFd<'_>, target: &Path, name: &Path) -> Result<(), VolumeError> {
    match unlinkat(root, NEW_LINK, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(write_error(Path::new(NEW_LINK))(error)),
    }
    symlinkat(target, root, NEW_LINK).map_err(write_error(name))?;
    renameat(root, NEW_LINK, root, name).map_err(write_error(name))
}

#[cfg(test)]
#[path = "volume_test.rs"]
mod tests;
