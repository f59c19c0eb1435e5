//! Writes a volume's files so that they change all at once: the kubelet's `AtomicWriter` layout.
//!
//! The files are in a directory `..TIME.RANDOM`, the symlink `..data` points at it, and each entry
//! of the volume is a symlink through `..data`. An update makes a new directory and renames a new
//! `..data` over the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, lchown, symlink,
};
use std::path::{Path, PathBuf};

use crate::volumes::VolumeFile;

const DATA: &str = "..data";
const DATA_TMP: &str = "..data_tmp";

/// Makes `dir` hold `files`; `group` gets to read them, as `fsGroup` has it. Says whether anything
/// had to change.
///
/// # Errors
/// Whatever the file system says; what was there before is then still there.
pub(crate) fn write(
    dir: &Path,
    files: &BTreeMap<String, VolumeFile>,
    group: Option<u32>,
) -> io::Result<bool> {
    make_dir(dir, 0o777)?;
    let old = match fs::read_link(dir.join(DATA)) {
        Ok(target) => Some(dir.join(target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if let Some(old) = &old
        && holds(old, files, group)?
    {
        return Ok(false);
    }
    let new = new_dir(dir)?;
    if let Err(error) = fill(&new, files, group).and_then(|()| swap(dir, &new)) {
        // Best effort: the first error is the one that counts.
        let _ = fs::remove_dir_all(&new);
        return Err(error);
    }
    show(dir, files, group)?;
    remove_stale(dir, &new)?;
    Ok(true)
}

/// Makes a directory, or finds it made, with exactly this mode.
pub(crate) fn make_dir(dir: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The umask must not have a say.
    fs::set_permissions(dir, Permissions::from_mode(mode))
}

/// Makes the directory that stands for an emptyDir: all may write; with `fsGroup` what is made in
/// it belongs to the group.
pub(crate) fn make_empty_dir(dir: &Path, group: Option<u32>) -> io::Result<()> {
    make_dir(dir, 0o777)?;
    match group {
        None => Ok(()),
        Some(_) => own_dir(dir, 0o2777, group),
    }
}

/// What `fsGroup` does to a file's mode: the group may read, and enter directories.
fn with_group(mode: u32, group: Option<u32>, is_dir: bool) -> u32 {
    match (group, is_dir) {
        (None, _) => mode,
        (Some(_), false) => mode | 0o440,
        (Some(_), true) => mode | 0o2550,
    }
}

fn new_dir(dir: &Path) -> io::Result<PathBuf> {
    let time = jiff::Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.");
    let new = dir.join(crate::random::generate_name(&time.to_string())?);
    DirBuilder::new().mode(0o755).create(&new)?;
    Ok(new)
}

fn fill(new: &Path, files: &BTreeMap<String, VolumeFile>, group: Option<u32>) -> io::Result<()> {
    let dir_mode = with_group(0o755, group, true);
    own_dir(new, dir_mode, group)?;
    for (name, file) in files {
        let mut parent = new.to_owned();
        let parts: Vec<&str> = name.split('/').collect();
        for part in &parts[..parts.len() - 1] {
            parent.push(part);
            make_dir(&parent, dir_mode)?;
            own_dir(&parent, dir_mode, group)?;
        }
        let mut handle = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(new.join(name))?;
        handle.write_all(&file.content)?;
        own_file(&handle, with_group(file.mode, group, false), group)?;
    }
    Ok(())
}

/// Gives to the group first: a change of owner takes the set-group-id bit away.
fn own_dir(dir: &Path, mode: u32, group: Option<u32>) -> io::Result<()> {
    if group.is_some() {
        chown(dir, None, group)?;
    }
    fs::set_permissions(dir, Permissions::from_mode(mode))
}

fn own_file(file: &File, mode: u32, group: Option<u32>) -> io::Result<()> {
    if group.is_some() {
        std::os::unix::fs::fchown(file, None, group)?;
    }
    file.set_permissions(Permissions::from_mode(mode))
}

fn swap(dir: &Path, new: &Path) -> io::Result<()> {
    let tmp = dir.join(DATA_TMP);
    match fs::remove_file(&tmp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    symlink(new.file_name().unwrap_or_default(), &tmp)?;
    fs::rename(&tmp, dir.join(DATA))
}

/// Makes an entry for each file or directory at the top, and takes away those that are gone.
fn show(dir: &Path, files: &BTreeMap<String, VolumeFile>, group: Option<u32>) -> io::Result<()> {
    let tops: BTreeSet<&str> = files
        .keys()
        .filter_map(|name| name.split('/').next())
        .collect();
    for top in &tops {
        let link = dir.join(top);
        if fs::symlink_metadata(&link).is_err() {
            symlink(Path::new(DATA).join(top), &link)?;
            if group.is_some() {
                lchown(&link, None, group)?;
            }
        }
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let stale = match name.to_str() {
            Some(name) => !name.starts_with("..") && !tops.contains(name),
            None => true,
        };
        if stale && entry.file_type()?.is_symlink() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes the directories of earlier writes, finished or not.
fn remove_stale(dir: &Path, new: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let ours = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(".."));
        if ours && entry.file_type()?.is_dir() && entry.path() != new {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a directory holds just these files.
fn holds(dir: &Path, files: &BTreeMap<String, VolumeFile>, group: Option<u32>) -> io::Result<bool> {
    let mut found = BTreeSet::new();
    if !list(dir, "", &mut found)? {
        return Ok(false);
    }
    if !found.iter().eq(files.keys()) {
        return Ok(false);
    }
    for (name, file) in files {
        let path = dir.join(name);
        let metadata = fs::symlink_metadata(&path)?;
        let same = metadata.mode() & 0o7777 == with_group(file.mode, group, false)
            && group.is_none_or(|group| metadata.gid() == group)
            && metadata.len() == file.content.len() as u64
            && fs::read(&path)? == file.content;
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The regular files below a directory; false if it is gone.
fn list(dir: &Path, prefix: &str, found: &mut BTreeSet<String>) -> io::Result<bool> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &format!("{name}/"), found)?;
        } else {
            found.insert(name);
        }
    }
    Ok(true)
}

#[cfg(test)]
#[path = "atomic_test.rs"]
mod tests;
