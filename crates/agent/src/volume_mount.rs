//! Volumes that are file systems: directories on the scratch disk, memory, block devices, images.
//! Runs in a worker.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use serde::{Deserialize, Serialize};

use crate::boot::RUN;
use crate::disk;
use crate::failure::{Failure, Kind};
use crate::rootfs::{self, LayerDisk};

/// File systems that a volume's disk may have.
const FS_TYPES: [&str; 3] = ["ext4", "xfs", "erofs"];

/// A volume to be mounted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MountVolume {
    /// Where: a directory below `/run/skete/volumes` that does not exist.
    pub(crate) target: PathBuf,
    /// What.
    pub(crate) source: Source,
    /// Bytes; 0: no limit.
    pub(crate) size_limit: u64,
    /// Permission bits; 0: 0777, what an emptyDir has by custom.
    pub(crate) mode: u32,
    /// Group.
    pub(crate) gid: u32,
}

/// What a volume is made of.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Source {
    /// A directory on the scratch disk.
    Scratch,
    /// Memory.
    Tmpfs,
    /// A disk; the empty file system type is the raw device.
    Block {
        serial: String,
        fs_type: String,
        read_only: bool,
        /// As `mount(8)` takes them.
        options: Vec<String>,
    },
    /// The layers of an image.
    Image(LayerDisk),
}

impl MountVolume {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let result = match &self.source {
            Source::Scratch => self.scratch(),
            Source::Tmpfs => self.tmpfs(),
            Source::Block {
                serial,
                fs_type,
                read_only,
                options,
            } => {
                let node = disk::node(&disk::find(serial)?);
                self.block(&node, fs_type, *read_only, options)
            }
            Source::Image(disk) => {
                let name = self.target.file_name().unwrap_or_default();
                let layers = Path::new(RUN).join("images").join(name);
                return Ok(rootfs::mount_image(disk, &layers, &self.target)?);
            }
        };
        result.map_err(|error| {
            // Nothing half-made stays: the next try begins anew.
            let _ = fs::remove_dir(&self.target);
            let kind = match error.kind() {
                io::ErrorKind::AlreadyExists => Kind::AlreadyExists,
                io::ErrorKind::InvalidInput => Kind::InvalidArgument,
                _ => Kind::Internal,
            };
            let name = self.target.file_name().unwrap_or_default();
            Failure::new(
                kind,
                format!("cannot make the volume {}: {error}", name.display()),
            )
        })
    }

    fn mode(&self) -> u32 {
        match self.mode & 0o7777 {
            0 => 0o777,
            mode => mode,
        }
    }

    fn scratch(&self) -> io::Result<()> {
        let name = self.target.file_name().unwrap_or_default();
        let directory = Path::new(RUN).join("scratch/volumes").join(name);
        fs::create_dir_all(&directory)?;
        chown(&directory, None, Some(self.gid))?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(self.mode()))?;
        fs::create_dir(&self.target)?;
        Ok(mount_bind(&directory, &self.target)?)
    }

    fn tmpfs(&self) -> io::Result<()> {
        fs::create_dir(&self.target)?;
        let mut options = format!("mode={:o},gid={}", self.mode(), self.gid);
        if self.size_limit > 0 {
            options.push_str(&format!(",size={}", self.size_limit));
        }
        let options = CString::new(options)?;
        let flags = MountFlags::NODEV;
        Ok(mount(
            "tmpfs",
            &self.target,
            "tmpfs",
            flags,
            options.as_c_str(),
        )?)
    }

    fn block(
        &self,
        node: &Path,
        fs_type: &str,
        read_only: bool,
        options: &[String],
    ) -> io::Result<()> {
        if fs_type.is_empty() {
            fs::File::create_new(&self.target)?;
            return Ok(mount_bind(node, &self.target)?);
        }
        if !FS_TYPES.contains(&fs_type) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("the guest has no file system `{fs_type}` for volumes"),
            ));
        }
        fs::create_dir(&self.target)?;
        let (mut flags, data) = mount_options(options);
        flags |= MountFlags::NODEV;
        if read_only {
            flags |= MountFlags::RDONLY;
        }
        let data = CString::new(data)?;
        mount(node, &self.target, fs_type, flags, data.as_c_str())?;
        let owned = if self.mode != 0 {
            self.empty()
        } else if read_only || self.gid == 0 || fs::metadata(&self.target)?.gid() == self.gid {
            Ok(())
        } else {
            give(&self.target, self.gid)
        };
        owned.inspect_err(|_| {
            // The engine takes the disk away.
            let _ = unmount(&self.target, UnmountFlags::DETACH);
        })
    }

    /// Makes a new file system what an emptyDir is.
    fn empty(&self) -> io::Result<()> {
        fs::remove_dir(self.target.join("lost+found"))?;
        chown(&self.target, None, Some(self.gid))?;
        fs::set_permissions(&self.target, fs::Permissions::from_mode(self.mode()))
    }
}

/// Which options are flags of a mount, and those that the file system gets.
fn mount_options(options: &[String]) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut data = Vec::new();
    for option in options {
        match option.as_str() {
            "rw" | "nodev" => {}
            "ro" => flags |= MountFlags::RDONLY,
            "nosuid" => flags |= MountFlags::NOSUID,
            "noexec" => flags |= MountFlags::NOEXEC,
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            of_file_system => data.push(of_file_system),
        }
    }
    (flags, data.join(","))
}

/// Gives a tree to a group as the kubelet does for `fsGroup`: it may read and write all of it, and
/// what is made in a directory is the group's, too.
fn give(path: &Path, gid: u32) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    lchown(path, None, Some(gid))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let more = if meta.is_dir() { 0o2770 } else { 0o660 };
    let mode = meta.permissions().mode() | more;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            give(&entry?.path(), gid)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "volume_mount_test.rs"]
mod tests;
