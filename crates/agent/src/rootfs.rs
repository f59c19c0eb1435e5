//! A container's root: the layers as EROFS, read-only, under an overlay with a writable layer.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_bind, move_mount, unmount,
};
use serde::{Deserialize, Serialize};
use skete_agent_api::agent;

use crate::boot::RUN;
use crate::disk::{self, DiskError, Range};
use crate::failure::{Failure, Kind};
use crate::sys;

/// The disk that holds a container's layers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LayerDisk {
    /// Its virtio serial number.
    pub(crate) serial: String,
    /// The layers, lowest first.
    pub(crate) layers: Vec<Range>,
}

impl From<agent::LayerDisk> for LayerDisk {
    fn from(disk: agent::LayerDisk) -> Self {
        let range = |extent: agent::Extent| Range {
            offset: extent.offset,
            length: extent.length,
        };
        Self {
            serial: disk.serial,
            layers: disk.layers.into_iter().map(range).collect(),
        }
    }
}

/// Who owns the files of a container with a user namespace.
pub(crate) struct Owners {
    /// The mapping.
    pub(crate) namespace: OwnedFd,
    /// Its root, user and group, as the guest sees them.
    pub(crate) root: (u32, u32),
}

/// Why there is no root file system.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootfsError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// An image without layers.
    #[error("the root file system has no layers")]
    NoLayers,
    /// A layer is no EROFS image, or a damaged one.
    #[error("cannot mount layer {index} as EROFS")]
    Layer {
        /// Which, from 0, lowest first.
        index: usize,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The overlay over them.
    #[error("cannot mount the overlay of {layers} layers: {step}")]
    Overlay {
        /// How many.
        layers: usize,
        /// What was done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A directory for it.
    #[error("cannot make {path}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl From<RootfsError> for Failure {
    fn from(error: RootfsError) -> Self {
        match error {
            RootfsError::Disk(error) => error.into(),
            RootfsError::NoLayers => Self::of(Kind::InvalidArgument, &error),
            _ => Self::internal(&error),
        }
    }
}

/// Whether a layer's root hides the layers below as a whole (`.wh..wh..opq` in an image).
fn is_opaque(layer: &Path) -> bool {
    let mut value = [0; 1];
    let read = rustix::fs::getxattr(layer, "trusted.overlay.opaque", &mut value);
    read.is_ok_and(|length| value[..length] == *b"y")
}

/// Mounts the root of a container at `bundle/rootfs`.
///
/// The layers' own mounts are gone when it returns, because the overlay holds them by itself:
/// every container that starts later copies the table of mounts.
///
/// With owners, the layers are mapped by their user namespace and the writable layer is given to
/// their root.
pub(crate) fn mount(
    id: &str,
    bundle: &Path,
    disk: &LayerDisk,
    owners: Option<&Owners>,
) -> Result<PathBuf, RootfsError> {
    let layers = mount_layers(disk, &bundle.join("layers"), owners)?;
    let lowers = layers.seen();
    let scratch = Path::new(RUN).join("scratch/containers").join(id);
    let (upper, work) = (scratch.join("upper"), scratch.join("work"));
    directory(&upper)?;
    directory(&work)?;
    let root = bundle.join("rootfs");
    directory(&root)?;
    // The merged root takes its mode from the upper directory.
    let mode = fs::metadata(lowers.last().unwrap_or(&root)).map(|root| root.permissions());
    let mode = mode.unwrap_or_else(|_| fs::Permissions::from_mode(0o755));
    fs::set_permissions(&upper, mode).map_err(|source| RootfsError::Directory {
        path: upper.clone(),
        source,
    })?;
    if let Some(owners) = owners {
        let (uid, gid) = owners.root;
        std::os::unix::fs::chown(&upper, Some(uid), Some(gid)).map_err(|source| {
            RootfsError::Directory {
                path: upper.clone(),
                source,
            }
        })?;
    }
    mount_overlay(lowers, Some((&upper, &work)), &root)?;
    Ok(root)
}

/// Mounts an image at `target` for reading. Its layers are mounted in `layers` meanwhile.
pub(crate) fn mount_image(
    disk: &LayerDisk,
    layers: &Path,
    target: &Path,
) -> Result<(), RootfsError> {
    let mounted = mount_layers(disk, layers, None)?;
    directory(target)?;
    match mounted.seen() {
        // There is nothing to lay over it.
        [layer] => mount_bind(layer, target).map_err(|source| RootfsError::Layer {
            index: 0,
            source: source.into(),
        }),
        lowers => mount_overlay(lowers, None, target),
    }
}

/// Mounts the layers of a disk in directories of their own, below `at`.
fn mount_layers(
    disk: &LayerDisk,
    at: &Path,
    owners: Option<&Owners>,
) -> Result<Mounted, RootfsError> {
    if disk.layers.is_empty() {
        return Err(RootfsError::NoLayers);
    }
    let name = disk::find(&disk.serial)?;
    let nodes = disk::cut(&name, &disk.layers)?;
    let mut mounted = Mounted::default();
    for (index, node) in nodes.iter().enumerate() {
        let target = at.join(index.to_string());
        directory(&target)?;
        let layer = |source| RootfsError::Layer { index, source };
        mount_erofs(node, &target, owners).map_err(layer)?;
        mounted.0.push(target);
    }
    Ok(mounted)
}

/// Layers that are unmounted when this goes.
#[derive(Default)]
struct Mounted(Vec<PathBuf>);

impl Mounted {
    /// Those that an overlay is made of. It does not look for the mark on a layer's root, so what
    /// that layer hides is left out.
    fn seen(&self) -> &[PathBuf] {
        let lowest = self.0.iter().rposition(|layer| is_opaque(layer));
        &self.0[lowest.unwrap_or(0)..]
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        for layer in &self.0 {
            let _ = unmount(layer, UnmountFlags::DETACH);
        }
    }
}

fn directory(path: &Path) -> Result<(), RootfsError> {
    fs::create_dir_all(path).map_err(|source| RootfsError::Directory {
        path: path.to_owned(),
        source,
    })
}

fn mount_erofs(node: &Path, target: &Path, owners: Option<&Owners>) -> io::Result<()> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", node)?;
    fsconfig_set_flag(context.as_fd(), "ro")?;
    fsconfig_create(context.as_fd())?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    if let Some(owners) = owners {
        sys::map_owners(mount.as_fd(), owners.namespace.as_fd())?;
    }
    attach(&mount, target)
}

fn attach(mount: &impl std::os::fd::AsFd, target: &Path) -> io::Result<()> {
    let from_itself = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(move_mount(mount.as_fd(), "", CWD, target, from_itself)?)
}

/// Layers one by one (`lowerdir+`, Linux 6.8): an option string would be bound to a page.
/// `writable` is the writable layer's directory and the overlay's own.
fn mount_overlay(
    layers: &[PathBuf],
    writable: Option<(&Path, &Path)>,
    root: &Path,
) -> Result<(), RootfsError> {
    let failed = |step| {
        move |source: io::Error| RootfsError::Overlay {
            layers: layers.len(),
            step,
            source,
        }
    };
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(io::Error::from)
        .map_err(failed("open"))?;
    let set = |key: &str, value: &Path| -> io::Result<()> {
        Ok(fsconfig_set_string(context.as_fd(), key, value)?)
    };
    for layer in layers.iter().rev() {
        set("lowerdir+", layer).map_err(failed("add a layer"))?;
    }
    if let Some((upper, work)) = writable {
        set("upperdir", upper).map_err(failed("set the writable layer"))?;
        set("workdir", work).map_err(failed("set the work directory"))?;
        // The writable layer does not outlive the guest, so nothing of it has to reach the disk.
        fsconfig_set_flag(context.as_fd(), "volatile")
            .map_err(io::Error::from)
            .map_err(failed("make it volatile"))?;
    }
    let mount = || -> io::Result<()> {
        fsconfig_create(context.as_fd())?;
        let mount = fsmount(
            context.as_fd(),
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::empty(),
        )?;
        attach(&mount, root)
    };
    mount().map_err(failed("mount"))
}
