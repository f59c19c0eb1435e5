//! Applies entries to the tree as containerd applies them to a directory, with whiteouts in the
//! form that overlayfs knows.

use std::io::{Read, Seek, Write};

use crate::content;
use crate::error::{EntryError, Error, Name};
use crate::format::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, device_number};
use crate::limits::{Limits, MAX_FILE};
use crate::output::Output;
use crate::path;
use crate::tar::{Entry, Kind, Reader};
use crate::tree::{Data, InodeId, Meta, NodeId, ROOT, Tree};
use crate::xattr;

/// Symbolic links that a path may lead through, as in Linux.
const MAX_HOPS: usize = 40;
/// The longest target of a symbolic link: a page, less the NUL at its end.
const MAX_TARGET: usize = 4095;
const WHITEOUT: &[u8] = b".wh.";
/// What begins with this is for the old AUFS driver's own use...
const WHITEOUT_META: &[u8] = b".wh..wh.";
/// ...but for this, which hides all that lower layers have in the directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Attributes of the root and of directories that the layer does not list.
const PLAIN_DIRECTORY: Meta = Meta {
    mode: S_IFDIR | 0o755,
    uid: 0,
    gid: 0,
    mtime: (0, 0),
    xattrs: 0,
};

/// What was applied.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) entries: u64,
    pub(crate) content_bytes: u64,
    pub(crate) hole_bytes: u64,
    pub(crate) dropped_xattrs: u64,
}

/// Directory, name and attributes of an inode to be made.
type Place<'e> = (NodeId, &'e [u8], Meta);

/// A layer in the making.
pub(crate) struct Layer<'a> {
    pub(crate) tree: Tree,
    pub(crate) counts: Counts,
    limits: &'a Limits,
}

impl<'a> Layer<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        let tree = Tree::new(PLAIN_DIRECTORY, limits.max_metadata_bytes);
        Self {
            tree,
            counts: Counts::default(),
            limits,
        }
    }

    /// Applies one entry, whose content the reader is about to read.
    pub(crate) fn apply<R: Read, W: Write + Seek>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<R>,
        out: &mut Output<'_, W>,
    ) -> Result<(), Error> {
        self.counts.entries += 1;
        let place = self.prepare(entry).map_err(|e| entry.error(e))?;
        if let Some((parent, name, meta)) = place {
            let inode = if entry.kind == Kind::File {
                let written = content::write(reader, out, &mut self.tree, entry, self.limits)?;
                self.counts.content_bytes += entry.size;
                self.counts.hole_bytes += written.holes;
                self.tree.add_inode(meta, entry.size, written.data)
            } else {
                self.special(entry, meta).map_err(|e| entry.error(e))?
            };
            self.tree.link(parent, name, inode);
        }
        self.tree.check().map_err(|e| entry.error(e))
    }

    /// Does all that comes before an inode is made: where it goes and with what attributes, or
    /// nothing if the entry makes none.
    fn prepare<'e>(&mut self, entry: &'e Entry) -> Result<Option<Place<'e>>, EntryError> {
        if self.counts.entries > self.limits.max_entries {
            return Err(EntryError::TooManyEntries(self.limits.max_entries));
        }
        let limit = self.limits.max_file_bytes.min(MAX_FILE);
        if entry.size > limit {
            return Err(EntryError::FileTooLarge {
                size: entry.size,
                limit,
            });
        }
        let mut parents = path::of_entry(&entry.name, self.limits.max_path_bytes)?;
        let Some(name) = parents.pop() else {
            return match entry.kind {
                Kind::Directory => {
                    let meta = self.meta(entry)?;
                    self.tree.set_meta(ROOT, meta);
                    Ok(None)
                }
                _ => Err(EntryError::RootNotDirectory),
            };
        };
        if parents.first().unwrap_or(&name).starts_with(WHITEOUT_META) && name != OPAQUE {
            return Ok(None);
        }
        let parent = self.directory(&parents)?;
        if name == OPAQUE {
            self.tree.set_opaque(parent);
            return Ok(None);
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            self.whiteout(parent, hidden)?;
            return Ok(None);
        }
        let meta = self.meta(entry)?;
        match entry.kind {
            Kind::Directory => {
                self.make_directory(parent, name, meta);
                Ok(None)
            }
            Kind::HardLink => {
                let inode = self.hard_link_target(&entry.link)?;
                if self
                    .tree
                    .child(parent, name)
                    .map(|id| self.tree.node(id).inode)
                    != Some(inode)
                {
                    self.tree.link(parent, name, inode);
                }
                Ok(None)
            }
            _ => Ok(Some((parent, name, meta))),
        }
    }

    fn meta(&mut self, entry: &Entry) -> Result<Meta, EntryError> {
        let kind = match entry.kind {
            Kind::File | Kind::HardLink => S_IFREG,
            Kind::Symlink => S_IFLNK,
            Kind::CharDevice => S_IFCHR,
            Kind::BlockDevice => S_IFBLK,
            Kind::Directory => S_IFDIR,
            Kind::Fifo => S_IFIFO,
        };
        // Linux gives symbolic links these permissions whatever an archive says.
        let permissions = if entry.kind == Kind::Symlink {
            0o777
        } else {
            entry.mode
        };
        let xattrs = xattr::encode(&entry.xattrs, self.limits, &mut self.counts.dropped_xattrs)?;
        Ok(Meta {
            mode: kind | permissions,
            uid: entry.uid,
            gid: entry.gid,
            mtime: entry.mtime,
            xattrs: self.tree.xattrs(&xattrs),
        })
    }

    /// Makes the inode of a symbolic link, a device or a FIFO.
    fn special(&mut self, entry: &Entry, meta: Meta) -> Result<InodeId, EntryError> {
        if entry.kind == Kind::Symlink {
            let target = &entry.link;
            if target.is_empty() || target.len() > MAX_TARGET || target.contains(&0) {
                return Err(EntryError::BadSymlinkTarget);
            }
            let data = self.tree.add_target(target);
            return Ok(self.tree.add_inode(meta, target.len() as u64, data));
        }
        let (major, minor) = entry.device;
        let number = device_number(major, minor).ok_or(EntryError::BadDevice { major, minor })?;
        Ok(self.tree.add_inode(meta, 0, Data::Device(number)))
    }

    fn make_directory(&mut self, parent: NodeId, name: &[u8], meta: Meta) -> NodeId {
        match self.tree.child(parent, name) {
            Some(id) if self.kind(id) == S_IFDIR => {
                self.tree.set_meta(id, meta);
                id
            }
            old => {
                let hides = old.is_some_and(|id| self.tree.is_whiteout(id));
                let id = self.tree.link_directory(parent, name, meta);
                // The whiteout was for what lower layers have under this name.
                if hides {
                    self.tree.set_opaque(id);
                }
                id
            }
        }
    }

    /// Hides what lower layers have under the name. What this layer has there stays.
    fn whiteout(&mut self, parent: NodeId, hidden: &[u8]) -> Result<(), EntryError> {
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(EntryError::BadName);
        }
        match self.tree.child(parent, hidden) {
            Some(id) if self.kind(id) == S_IFDIR => self.tree.set_opaque(id),
            Some(_) => {}
            None => {
                let meta = Meta {
                    mode: S_IFCHR,
                    ..PLAIN_DIRECTORY
                };
                let inode = self.tree.add_inode(meta, 0, Data::Device(0));
                self.tree.link(parent, hidden, inode);
            }
        }
        Ok(())
    }

    fn hard_link_target(&self, target: &[u8]) -> Result<InodeId, EntryError> {
        let missing = || EntryError::LinkTargetMissing(Name::new(target));
        let mut parents = path::of_target(target, self.limits.max_path_bytes)?;
        let Some(name) = parents.pop() else {
            return Err(EntryError::LinkTargetIsDirectory(Name::new(target)));
        };
        let parent = match walk(&self.tree, &parents) {
            Ok((parent, rest)) if rest.is_empty() => parent,
            Ok(_) | Err(EntryError::NotADirectory(_)) => return Err(missing()),
            Err(e) => return Err(e),
        };
        let id = self.tree.child(parent, name).ok_or_else(missing)?;
        match self.kind(id) == S_IFDIR {
            true => Err(EntryError::LinkTargetIsDirectory(Name::new(target))),
            false => Ok(self.tree.node(id).inode),
        }
    }

    /// The directory at a path; those that are missing are made.
    fn directory(&mut self, path: &[&[u8]]) -> Result<NodeId, EntryError> {
        let (mut id, missing) = walk(&self.tree, path)?;
        for name in missing {
            id = match name.as_slice() {
                b".." => self.tree.node(id).parent,
                name => match self.tree.child(id, name) {
                    Some(known) if self.kind(known) == S_IFDIR => known,
                    _ => self.make_directory(id, name, PLAIN_DIRECTORY),
                },
            };
        }
        Ok(id)
    }

    fn kind(&self, id: NodeId) -> u16 {
        self.tree.inode_of(id).meta.mode & S_IFMT
    }
}

/// Follows a path, through symbolic links as if the layer's root were `/`. Returns the last
/// directory that there is, and the names from there on.
fn walk(tree: &Tree, path: &[&[u8]]) -> Result<(NodeId, Vec<Vec<u8>>), EntryError> {
    let mut id = ROOT;
    let mut hops = 0;
    // The next name is the last.
    let mut names: Vec<Vec<u8>> = path.iter().rev().map(|name| name.to_vec()).collect();
    while let Some(name) = names.pop() {
        let child = match name.as_slice() {
            b"" | b"." => continue,
            b".." => {
                id = tree.node(id).parent;
                continue;
            }
            name => tree
                .child(id, name)
                .filter(|&child| !tree.is_whiteout(child)),
        };
        let Some(child) = child else {
            names.push(name);
            break;
        };
        match tree.inode_of(child).data {
            Data::Directory(_) => id = child,
            Data::Target(at) => {
                hops += 1;
                if hops > MAX_HOPS {
                    return Err(EntryError::SymlinkLoop);
                }
                let target = tree.target(at);
                if target.starts_with(b"/") {
                    id = ROOT;
                }
                names.extend(target.split(|&b| b == b'/').rev().map(<[u8]>::to_vec));
            }
            _ => return Err(EntryError::NotADirectory(Name::new(&name))),
        }
    }
    names.reverse();
    Ok((id, names))
}
