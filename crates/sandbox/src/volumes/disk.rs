//! Volumes whose file system is on a block device of the host: local PersistentVolumes, those of
//! CSI drivers.
//!
//! The kubelet or a driver formats such a device, mounts it, gives its files to the Pod's
//! `fsGroup` and binds it into the Pod's directory. A file system that two kernels have mounted is
//! destroyed, so the host's mounts go before the guest has the device. In their places come
//! stand-ins, directories in memory: who made the mounts finds some there, as it expects, does not
//! mount the device once more when it is restarted, and unmounts them in the end. A stand-in says
//! itself which device it stands for, so that no record is kept.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags, XattrFlags, fsetxattr, getxattr, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_remount, move_mount, unmount,
};

use crate::block_device::{self, NoDevice, Numbers};
use crate::mountinfo::{self, Mount};

/// The one that the guest's kernel has for volumes.
pub(crate) const FS_TYPE: &str = "ext4";
/// On the directory in memory: the number of the device that it stands for, and the options of its
/// file system, as `MAJOR:MINOR OPTION,…`. Only an administrator of the node can set it.
const STANDS_FOR: &str = "trusted.skete.device";
/// The longest value of it that is read, in bytes.
const MAX_STANDS_FOR: usize = 4096;
/// Inodes of a stand-in in which directories can be made, and of one that is full: the root and
/// its attribute leave no room, or room for one file before Linux 6.6.
const ROOMY: &str = "4096";
const FULL: &str = "2";
/// That file.
const LAST_FILE: &str = "volume-of-a-virtual-machine";
/// How long a device may take to be free that was unmounted.
const CLAIM_LIMIT: Duration = Duration::from_secs(3);
/// How often that is tried.
const CLAIM_POLL: Duration = Duration::from_millis(20);

/// Why a volume's device cannot be given to a guest.
#[derive(Debug, thiserror::Error)]
pub enum DiskVolumeError {
    /// Not the one that the guest's kernel has.
    #[error("volume {volume} has the file system {fs_type}, and a Pod's guest has {FS_TYPE} only")]
    FileSystem {
        /// Where the host has it.
        volume: PathBuf,
        /// Its type.
        fs_type: String,
    },
    /// Somebody else has it mounted.
    #[error(
        "volume {volume} is mounted by the node at {point}, too, and a file system must not be \
         mounted by two kernels: end the Pod that it is mounted for, or unmount it and let the \
         PersistentVolume name the device"
    )]
    Elsewhere {
        /// Where the host has it for the Pod.
        volume: PathBuf,
        /// Where else.
        point: PathBuf,
    },
    /// Somebody else has claimed it.
    #[error(
        "{0} is in use on this node, by another Pod or by a mount in another mount namespace: it \
         is free when that is gone"
    )]
    Busy(PathBuf),
    /// It is gone.
    #[error(transparent)]
    Gone(#[from] NoDevice),
    /// A step on the host.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

fn failed<E: Into<io::Error>>(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> DiskVolumeError {
    let path = path.to_owned();
    move |error| DiskVolumeError::Io {
        action,
        path,
        source: error.into(),
    }
}

/// A volume of a Pod.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DiskVolume {
    /// Where the kubelet has it for the Pod.
    pub(crate) point: PathBuf,
    /// Its device.
    pub(crate) device: Numbers,
    /// What the Pod's mount of it has: `ro`, `noatime`, …
    options: Vec<String>,
    /// What its file system has.
    fs_options: Vec<String>,
    /// Where the host has the device mounted besides, for the kubelet or a driver.
    others: Vec<Mount>,
}

/// The volumes of that kind that the kubelet has mounted for a Pod.
///
/// # Errors
/// If one of them cannot be given to the Pod's guest.
pub(crate) fn of_pod(uid: &str) -> Result<Vec<DiskVolume>, DiskVolumeError> {
    let mounts = mountinfo::read().map_err(failed("read", Path::new(mountinfo::PATH)))?;
    of_pod_in(&mounts, uid)
}

fn of_pod_in(mounts: &[Mount], uid: &str) -> Result<Vec<DiskVolume>, DiskVolumeError> {
    let mut volumes: Vec<DiskVolume> = Vec::new();
    // What is mounted last at a place is on top.
    for mount in mounts.iter().rev() {
        let Some(kubelet) = kubelet_directory(&mount.point, uid) else {
            continue;
        };
        let known = volumes.iter().any(|volume| volume.point == mount.point);
        if known || mount.root != Path::new("/") {
            continue;
        }
        if let Some((device, fs_options)) = stands_for(mount) {
            volumes.push(DiskVolume {
                point: mount.point.clone(),
                device,
                options: mount.options.clone(),
                fs_options,
                others: others(mounts, mount, device, &kubelet, uid)?,
            });
        }
    }
    Ok(volumes)
}

/// The kubelet's directory, of a place below its `pods/UID/volumes`.
fn kubelet_directory(point: &Path, uid: &str) -> Option<PathBuf> {
    let parts: Vec<_> = point.iter().collect();
    let of_pod =
        |names: &[&OsStr]| names == [OsStr::new("pods"), OsStr::new(uid), OsStr::new("volumes")];
    let at = parts.windows(3).position(of_pod)?;
    (parts.len() > at + 3).then(|| parts[..at].iter().collect())
}

/// Where else the device is mounted: by the kubelet for this Pod, or for all Pods that have the
/// volume.
fn others(
    mounts: &[Mount],
    volume: &Mount,
    device: Numbers,
    kubelet: &Path,
    uid: &str,
) -> Result<Vec<Mount>, DiskVolumeError> {
    let is_other = |mount: &&Mount| mount.device == device && mount.point != volume.point;
    let others: Vec<_> = mounts.iter().filter(is_other).cloned().collect();
    let places = [kubelet.join("plugins"), kubelet.join("pods").join(uid)];
    for mount in others.iter().chain([volume]) {
        if !places.iter().any(|place| mount.point.starts_with(place)) {
            return Err(DiskVolumeError::Elsewhere {
                volume: volume.point.clone(),
                point: mount.point.clone(),
            });
        }
        if mount.device == device && mount.fs_type != FS_TYPE {
            return Err(DiskVolumeError::FileSystem {
                volume: volume.point.clone(),
                fs_type: mount.fs_type.clone(),
            });
        }
    }
    Ok(others)
}

/// The device of what is mounted, and the options of its file system; `None` if there is none.
fn stands_for(volume: &Mount) -> Option<(Numbers, Vec<String>)> {
    if volume.device.0 != 0 {
        return Some((volume.device, volume.fs_options.clone()));
    }
    let mut value = [0; MAX_STANDS_FOR];
    let length = getxattr(&volume.point, STANDS_FOR, &mut value).ok()?;
    let (numbers, options) = str::from_utf8(value.get(..length)?).ok()?.split_once(' ')?;
    let (major, minor) = numbers.split_once(':')?;
    let options = options.split(',').filter(|option| !option.is_empty());
    Some((
        (major.parse().ok()?, minor.parse().ok()?),
        options.map(str::to_owned).collect(),
    ))
}

/// Whether it says more than that the file system can be written to, and is none of `SELinux`,
/// which the guest does not have.
fn is_given_on(option: &str) -> bool {
    !matches!(option, "rw" | "ro" | "seclabel") && !option.contains("context=")
}

impl DiskVolume {
    /// Whether it may not be written to.
    pub(crate) fn is_read_only(&self) -> bool {
        self.options.iter().any(|option| option == "ro")
    }

    /// What the guest mounts it with.
    pub(crate) fn guest_options(&self) -> Vec<String> {
        let all = self.options.iter().chain(&self.fs_options);
        all.filter(|option| is_given_on(option)).cloned().collect()
    }

    /// The group that the kubelet gave the volume to.
    pub(crate) fn group(&self) -> u32 {
        self.point.metadata().map_or(0, |meta| meta.gid())
    }

    /// Takes the host's mounts away and leaves stand-ins. A try that ends on the way leaves what
    /// the next one goes on from.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn leave_host(&self) -> Result<(), DiskVolumeError> {
        let device = block_device::node(self.device)?;
        let pod = self
            .point
            .ancestors()
            .find(|above| above.ends_with("volumes"));
        let pod = pod.and_then(Path::parent).unwrap_or(&self.point);
        for mount in &self.others {
            let left = if mount.point.starts_with(pod) {
                // A part of the volume, which the kubelet binds anew for each container.
                unmount(&mount.point, UnmountFlags::DETACH).map_err(io::Error::from)
            } else {
                // A Pod of another runtime that comes next finds a volume that it cannot write to.
                self.stand_in(&device, &mount.point, &mount.options, FULL)
            };
            left.map_err(failed("unmount the volume at", &mount.point))?;
        }
        // The kubelet makes the directories that are a container's `subPath` in it.
        self.stand_in(&device, &self.point, &self.options, ROOMY)
            .map_err(failed("unmount the volume at", &self.point))
    }

    fn stand_in(
        &self,
        device: &Path,
        point: &Path,
        options: &[String],
        inodes: &str,
    ) -> io::Result<()> {
        let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        // What the kubelet takes for the volume's device when it has been restarted.
        fsconfig_set_string(context.as_fd(), "source", device)?;
        fsconfig_set_string(context.as_fd(), "size", "1m")?;
        fsconfig_set_string(context.as_fd(), "nr_inodes", inodes)?;
        fsconfig_create(context.as_fd())?;
        let new = FsMountFlags::FSMOUNT_CLOEXEC;
        let mount = fsmount(context.as_fd(), new, MountAttrFlags::empty())?;
        let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = File::from(openat(&mount, ".", directory, Mode::empty())?);
        let volume = point.metadata()?;
        fchown(&root, Some(volume.uid()), Some(volume.gid()))?;
        root.set_permissions(volume.permissions())?;
        let (major, minor) = self.device;
        let value = format!("{major}:{minor} {}", self.fs_options.join(","));
        fsetxattr(&root, STANDS_FOR, value.as_bytes(), XattrFlags::CREATE)?;
        if inodes == FULL {
            let file = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
            let _ = openat(&root, LAST_FILE, file, Mode::RUSR);
        }
        unmount(point, UnmountFlags::DETACH)?;
        let from_itself = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(mount.as_fd(), "", CWD, point, from_itself)?;
        Ok(mount_remount(point, MountFlags::BIND | flags(options), "")?)
    }
}

/// The flags of a mount that its options name.
fn flags(options: &[String]) -> MountFlags {
    let flag = |option: &String| match option.as_str() {
        "ro" => MountFlags::RDONLY,
        "nosuid" => MountFlags::NOSUID,
        "nodev" => MountFlags::NODEV,
        "noexec" => MountFlags::NOEXEC,
        "noatime" => MountFlags::NOATIME,
        "nodiratime" => MountFlags::NODIRATIME,
        "relatime" => MountFlags::RELATIME,
        _ => MountFlags::empty(),
    };
    options.iter().map(flag).collect()
}

/// Claims a device, so that nobody on the host can mount or claim it as long as the file is open.
/// What was unmounted a moment ago may take another one to let go of it.
///
/// # Errors
/// If somebody else has it.
pub(crate) async fn claim(device: &Path, read_only: bool) -> Result<File, DiskVolumeError> {
    let deadline = Instant::now() + CLAIM_LIMIT;
    loop {
        let opened = OpenOptions::new()
            .read(true)
            .write(!read_only)
            .custom_flags(OFlags::EXCL.bits().cast_signed())
            .open(device);
        match opened {
            Ok(file) => return Ok(file),
            Err(error) if error.kind() != io::ErrorKind::ResourceBusy => {
                return Err(failed("open", device)(error));
            }
            Err(_) if Instant::now() > deadline => {
                return Err(DiskVolumeError::Busy(device.to_owned()));
            }
            Err(_) => tokio::time::sleep(CLAIM_POLL).await,
        }
    }
}

#[cfg(test)]
#[path = "disk_test.rs"]
mod tests;
