//! Image volumes. containerd mounts the layers of such an image and an overlay of them on the host.
//! Nothing is read by way of those mounts: they tell which files the layers are, and these become
//! a disk of the guest as a container's own layers do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use skete_erofs::MAX_LAYERS;

use crate::mountinfo::{self, Mount};

/// containerd's directory for them, below which each sandbox has one.
const DIRECTORY: &str = "image-volumes";

/// Why an image cannot be given to a guest.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The host's mounts.
    #[error("read {path}")]
    Read {
        /// What of them.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The snapshotter is another one, or keeps layers in another way.
    #[error("{0} of the host is not mounted from an EROFS layer")]
    NotALayer(PathBuf),
    /// More than [`MAX_LAYERS`].
    #[error("the image has {0} layers; at most {MAX_LAYERS} fit on a disk")]
    TooManyLayers(usize),
}

/// Where containerd has mounted the image, and the path below it, of a bind mount's source in the
/// sandbox's own directory of images.
pub(super) fn split(source: &Path, sandbox: &str) -> Option<(PathBuf, PathBuf)> {
    let parts: Vec<_> = source.components().collect();
    let is_own = |pair: &[std::path::Component<'_>]| {
        pair[0].as_os_str() == DIRECTORY && pair[1].as_os_str() == sandbox
    };
    let at = parts.windows(2).position(is_own)? + 3;
    (parts.len() >= at).then(|| {
        let root = parts[..at].iter().collect();
        (root, parts[at..].iter().collect())
    })
}

/// The files of the layers of the image that is mounted there, the lowest layer first.
///
/// # Errors
/// If it is none of EROFS layers.
pub(super) fn layers(root: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let mounts = mountinfo::read().map_err(|source| ImageError::Read {
        path: mountinfo::PATH.into(),
        source,
    })?;
    layers_in(&mounts, root)
}

fn layers_in(mounts: &[Mount], root: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let on_top = |point: &Path| {
        let mount = mounts.iter().rev().find(|mount| mount.point == point);
        mount.ok_or_else(|| ImageError::NotALayer(point.to_owned()))
    };
    let topmost_first = match on_top(root)? {
        overlay if overlay.fs_type == "overlay" => lower_directories(overlay),
        _ => vec![root.to_owned()],
    };
    if topmost_first.len() > MAX_LAYERS {
        return Err(ImageError::TooManyLayers(topmost_first.len()));
    }
    let file = |point: &PathBuf| file(on_top(point)?);
    topmost_first.iter().rev().map(file).collect()
}

/// The directories that an overlay is made of, topmost first.
fn lower_directories(overlay: &Mount) -> Vec<PathBuf> {
    let options = overlay.fs_options.iter();
    let lowers = options.filter_map(|option| {
        let (key, value) = option.split_once('=')?;
        matches!(key, "lowerdir" | "lowerdir+").then_some(value)
    });
    lowers
        .flat_map(|value| value.split(':').map(PathBuf::from))
        .collect()
}

/// The file that a layer is mounted from, by way of a loop device or without.
fn file(layer: &Mount) -> Result<PathBuf, ImageError> {
    let more_devices = |option: &String| option.starts_with("device=");
    if layer.fs_type != "erofs" || layer.fs_options.iter().any(more_devices) {
        return Err(ImageError::NotALayer(layer.point.clone()));
    }
    let (major, minor) = layer.device;
    if major == 0 {
        return Ok(layer.source.clone());
    }
    let path = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/loop/backing_file"));
    let file = fs::read_to_string(&path).map_err(|source| ImageError::Read { path, source })?;
    Ok(file.trim_end_matches('\n').into())
}

#[cfg(test)]
#[path = "image_test.rs"]
mod tests;
