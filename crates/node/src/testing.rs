//! What the tests of several modules share.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An installation as `cargo xtask install` lays it out, whose files hold `mark`.
pub(crate) fn installation(dir: &Path, mark: &str) -> PathBuf {
    let prefix = dir.join(format!("source-{mark}"));
    for file in [
        "bin/skete",
        "bin/containerd-shim-skete-v2",
        "bin/skete-vsock",
        "bin/skete-mkfs-erofs",
        "share/skete/vmlinux",
        "share/skete/initramfs.cpio",
    ] {
        let path = prefix.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("{file} {mark}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    prefix
}
