//! All that can be seen of a tree of files, for comparing two of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, lgetxattr, llistxattr, seek};

/// What can be seen of one file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, i64),
    pub(crate) rdev: u64,
    pub(crate) nlink: u64,
    /// The first path that leads to the same inode.
    pub same_as: PathBuf,
    pub(crate) size: u64,
    pub(crate) target: Option<PathBuf>,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// All files below (and with) a directory, by their path from there.
pub(crate) fn see(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut seen = BTreeMap::new();
    let mut inodes = BTreeMap::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(path) = todo.pop() {
        let full = root.join(&path);
        let meta = full.symlink_metadata().unwrap();
        if meta.is_dir() {
            for entry in full.read_dir().unwrap() {
                todo.push(path.join(entry.unwrap().file_name()));
            }
        }
        let first = inodes.entry(meta.ino()).or_insert_with(|| path.clone());
        // Directories' order of discovery differs, so the least path stands for the inode.
        if path < *first {
            first.clone_from(&path);
        }
        let one = Seen {
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            rdev: meta.rdev(),
            nlink: meta.nlink(),
            same_as: PathBuf::new(),
            // A directory's size is the file system's own affair.
            size: if meta.is_dir() { 0 } else { meta.len() },
            target: meta.is_symlink().then(|| full.read_link().unwrap()),
            xattrs: xattrs(&full),
        };
        seen.insert(path, (meta.ino(), one));
    }
    let resolve = |(path, (ino, one)): (PathBuf, (u64, Seen))| {
        (
            path,
            Seen {
                same_as: inodes[&ino].clone(),
                ..one
            },
        )
    };
    seen.into_iter().map(resolve).collect()
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let length = llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length]
        .split(|&b| b == 0)
        .filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 1 << 16];
        let length = lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(length);
        value
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}

/// Fails at the first difference between two trees, content included.
pub(crate) fn assert_same(left: &Path, right: &Path) {
    let (a, b) = (see(left), see(right));
    for path in a.keys().chain(b.keys()) {
        assert_eq!(
            a.get(path),
            b.get(path),
            "{:?}",
            path.as_os_str().as_bytes().escape_ascii()
        );
        if a[path].mode & 0o170_000 == 0o100_000 {
            assert_content(&left.join(path), &right.join(path));
        }
    }
}

/// Fails unless two files hold the same. Of a file over a GiB, what the left one has in its
/// holes is looked at in samples only.
fn assert_content(left: &Path, right: &Path) {
    let (a, b) = (File::open(left).unwrap(), File::open(right).unwrap());
    let size = a.metadata().unwrap().len();
    let large = size > 1 << 30;
    let (mut x, mut y) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut at = 0;
    while at < size {
        let length = (size - at).min(1 << 20) as usize;
        a.read_exact_at(&mut x[..length], at).unwrap();
        b.read_exact_at(&mut y[..length], at).unwrap();
        assert!(
            x[..length] == y[..length],
            "{} differs after byte {at}",
            left.display()
        );
        at += length as u64;
        if large {
            let data = seek(&a, SeekFrom::Data(at)).unwrap_or(size);
            at = data.min(at + (100 << 20)).min(size);
        }
    }
    assert_eq!(
        b.read_at(&mut y, size).unwrap(),
        0,
        "{} is longer",
        right.display()
    );
}
