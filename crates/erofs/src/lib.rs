//! Turns a tar stream (a container image's layer) into an EROFS image.
//!
//! - *Streaming*: one pass over the tar. Content goes straight into the image, in whole blocks of
//!   4 KiB and never packed into tails, so that pages can be mapped from it (DAX); the metadata is
//!   written after it, when the tree is known.
//! - *Bounded*: only names and attributes are held, compactly; [`Limits`] has a bound for
//!   everything that a hostile layer could ask for, and crossing one is a typed error that names
//!   the entry.
//! - *Deterministic*: the same tar gives the same bytes, the UUID included.
//! - *Layers*: `.wh.NAME` becomes a character device 0/0 and `.wh..wh..opq` the attribute
//!   `trusted.overlay.opaque`, so that an overlay of such images shows what the image's author
//!   saw. Of two entries with one name the last counts; a directory keeps what is in it. A path
//!   through a symbolic link is followed within the layer, as containerd does.
//! - *Complete*: hard links, devices, FIFOs, extended attributes with file capabilities and
//!   POSIX ACLs, user and group numbers of 32 bits, times in nanoseconds, files of any size,
//!   sparse files in all four forms that GNU tar writes. A hole, or a run of zeros of 64 KiB, takes
//!   no room.
//!
//! Left out: access and change times (EROFS has none), ACLs and SELinux labels in the text forms
//! of GNU tar and star (layers do not carry them), global PAX headers (containerd ignores them).
//! A directory that the tar names only as part of a path gets mode 0755, owner 0:0 and time 0.
//!
//! Images can be mounted by Linux 5.15 and later (EROFS with chunk-based files), and checked by
//! `fsck.erofs` 1.5 and later.
//!
//! ```
//! use std::io::Cursor;
//! # fn main() -> Result<(), skete_erofs::Error> {
//! let tar = vec![0; 1024]; // an empty archive
//! let mut image = Cursor::new(Vec::new());
//! let stats = skete_erofs::convert(&tar[..], &mut image, &skete_erofs::Options::default())?;
//! assert_eq!(stats.image_bytes, image.into_inner().len() as u64);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod arena;
mod content;
mod directory;
mod error;
mod format;
mod image;
mod layer;
mod limits;
mod output;
mod path;
mod tar;
mod tree;
mod xattr;

use std::io::{Read, Seek, Write};

pub use error::{EntryError, Error, Name, TarError};
pub use limits::{Limits, MAX_LAYERS};

/// How to convert.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What the layer may ask for.
    pub limits: Limits,
    /// The image's UUID. Without it, one is derived from the tree's names and attributes, so that
    /// two layers share one only if they differ in nothing but the files' content.
    pub uuid: Option<[u8; 16]>,
}

/// What a conversion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// Entries in the tar stream.
    pub entries: u64,
    /// Files, directories and so on in the image.
    pub inodes: u64,
    /// Bytes of the tar stream, which was read to its end.
    pub tar_bytes: u64,
    /// Bytes of all files in the stream, holes included, and also those replaced later.
    pub content_bytes: u64,
    /// Those of them that take no room as they are zeros.
    pub hole_bytes: u64,
    /// Bytes of the image, a multiple of 4096.
    pub image_bytes: u64,
    /// Extended attributes left out: overlayfs's own, and namespaces that EROFS does not have.
    pub dropped_xattrs: u64,
    /// Whether the layer hides all layers below it (`.wh..wh..opq` in its root). The image says so
    /// too, but overlayfs does not look for it on a layer's root: whoever stacks the layers has to
    /// leave out those below.
    pub opaque_root: bool,
}

/// Reads a tar stream to its end and writes the EROFS image of it to `out`, an empty file.
///
/// On success the image is complete but not synced; on failure `out` holds nothing of use. The
/// stream is plain tar: decompressing it, and checking its digest, is up to the caller's reader.
/// No process needs privileges for this, and nothing in the stream reaches the file system.
pub fn convert<R, W>(tar: R, out: &mut W, options: &Options) -> Result<Stats, Error>
where
    R: Read,
    W: Write + Seek,
{
    let limits = &options.limits;
    let mut reader = tar::Reader::new(tar, limits);
    let mut output = output::Output::new(out)?;
    let mut layer = layer::Layer::new(limits);
    while let Some(entry) = reader.next_entry()? {
        layer.apply(&entry, &mut reader, &mut output)?;
    }
    let finished = image::finish(
        &mut layer.tree,
        output,
        options.uuid,
        limits.max_image_bytes,
    )?;
    let counts = layer.counts;
    Ok(Stats {
        entries: counts.entries,
        inodes: finished.inodes,
        tar_bytes: reader.offset(),
        content_bytes: counts.content_bytes,
        hole_bytes: counts.hole_bytes,
        image_bytes: finished.bytes,
        dropped_xattrs: counts.dropped_xattrs,
        opaque_root: layer.tree.inode_of(tree::ROOT).opaque,
    })
}
