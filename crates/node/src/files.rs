//! Files of the node, each changed as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::error::FileError;

/// Bytes of the largest text file that is read: a configuration.
const MAX_TEXT: u64 = 4 << 20;

/// The text of a file; `None` if there is no file.
///
/// # Errors
/// It cannot be read, is larger than 4 MiB or is no UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, FileError> {
    let read = || {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut text = String::new();
        file.take(MAX_TEXT + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_TEXT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(text))
    };
    read().map_err(FileError::about("read", path))
}

/// Replaces a file: readers see the old or the new, also after a loss of power. A file that is
/// there keeps its owner and mode; a new one is root's, for everybody to read.
///
/// # Errors
/// It cannot be written; the old one is then still there.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // containerd imports `*.toml`, systemd reads `*.conf`: neither takes this for one.
    name.push(".new");
    let new = path.with_file_name(name);
    let write = || {
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o644)
            .open(&new)?;
        if let Ok(old) = fs::metadata(path) {
            use std::os::unix::fs::MetadataExt;
            file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
            std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    let written = write();
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&new);
    }
    written.map_err(FileError::about("write", path))
}

/// Makes the directories that are missing on the way to `directory`; which ones, the outermost
/// first.
///
/// # Errors
/// One cannot be made.
pub(crate) fn make_directories(directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    let missing = missing_directories(directory);
    fs::create_dir_all(directory).map_err(FileError::about("create", directory))?;
    Ok(missing)
}

/// The directories that are missing on the way to `directory`, the outermost first.
pub(crate) fn missing_directories(directory: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = directory
        .ancestors()
        .take_while(|path| !path.exists())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}

/// Removes a file that may be gone already.
///
/// # Errors
/// It is there and stays.
pub(crate) fn remove_file(path: &Path) -> Result<(), FileError> {
    ignore_missing(fs::remove_file(path)).map_err(FileError::about("remove", path))
}

/// Removes a tree that may be gone already.
///
/// # Errors
/// Something of it stays.
pub(crate) fn remove_tree(path: &Path) -> Result<(), FileError> {
    ignore_missing(fs::remove_dir_all(path)).map_err(FileError::about("remove", path))
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
