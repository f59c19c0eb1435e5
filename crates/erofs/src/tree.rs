//! The layer's tree in memory, small: a name costs 12 bytes, an inode 24, and lookups 12 at most.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use crate::arena::{Bytes, List};
use crate::error::EntryError;
use crate::format::{S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT};

/// Number of a name in the tree.
pub(crate) type NodeId = u32;
/// Number of an inode.
pub(crate) type InodeId = u32;

/// The root's node and inode.
pub(crate) const ROOT: NodeId = 0;
/// The inode of a name that was replaced.
const DEAD: InodeId = u32::MAX;
const EMPTY: u32 = u32::MAX;

/// A name in a directory.
#[derive(Clone, Copy)]
pub(crate) struct Node {
    pub(crate) parent: NodeId,
    name: u32,
    pub(crate) inode: InodeId,
}

impl Node {
    /// Whether nothing has taken this name's place.
    pub(crate) fn is_live(self) -> bool {
        self.inode != DEAD
    }
}

/// What is interned, as few of them differ in a layer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Attr {
    mode: u16,
    uid: u32,
    gid: u32,
    /// Number of the set of extended attributes, 0 for none.
    xattrs: u32,
}

#[derive(Clone, Copy)]
struct PackedInode {
    /// Seconds (34 bits, signed) and nanoseconds (30 bits).
    mtime: u64,
    size: u64,
    /// By the kind: first block, extents, target, device, or the directory's own node.
    data: u32,
    /// Number of the attributes, and flags above.
    attr: u32,
}

const CHUNKED: u32 = 1 << 31;
const OPAQUE: u32 = 1 << 30;

/// Where an inode's content is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Data {
    /// A directory, under the name of this node.
    Directory(NodeId),
    /// A file without holes from this block on (0 if empty).
    Blocks(u32),
    /// A file with holes: the address of its [`Extents`].
    Chunks(u32),
    /// A symbolic link: the address of its target.
    Target(u32),
    /// A device number as EROFS has it; 0 for a FIFO.
    Device(u32),
}

/// What the entry says of an inode.
#[derive(Clone, Copy)]
pub(crate) struct Meta {
    /// File type and permissions.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (i64, u32),
    /// As returned by [`Tree::xattrs`].
    pub(crate) xattrs: u32,
}

/// An inode, unpacked.
#[derive(Clone, Copy)]
pub(crate) struct Inode {
    pub(crate) meta: Meta,
    pub(crate) size: u64,
    pub(crate) data: Data,
    /// A directory that hides those of lower layers.
    pub(crate) opaque: bool,
}

/// Where a file with holes has its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extents {
    /// Its data is in one piece from here on.
    pub(crate) start: u32,
    /// log2 of the piece's size in blocks.
    pub(crate) piece_bits: u32,
    /// How many pieces of hole and then of data follow each other.
    pub(crate) runs: Vec<(u32, u32)>,
}

/// The tree.
pub(crate) struct Tree {
    nodes: List<Node>,
    names: Bytes,
    /// Open addressing, from parent and name to the live node.
    table: Vec<u32>,
    hasher: RandomState,
    inodes: List<PackedInode>,
    attrs: List<Attr>,
    attr_numbers: HashMap<Attr, u32>,
    xattrs: Vec<Rc<[u8]>>,
    xattr_numbers: HashMap<Rc<[u8]>, u32>,
    xattr_bytes: usize,
    extents: List<u32>,
    max_bytes: usize,
}

impl Tree {
    /// A tree of nothing but a root with the given attributes, which may use that many bytes.
    pub(crate) fn new(root: Meta, max_bytes: usize) -> Self {
        let mut tree = Self {
            nodes: List::new(),
            names: Bytes::new(),
            table: vec![EMPTY; 1024],
            hasher: RandomState::new(),
            inodes: List::new(),
            attrs: List::new(),
            attr_numbers: HashMap::new(),
            xattrs: vec![Rc::from([])],
            xattr_numbers: HashMap::new(),
            xattr_bytes: 0,
            extents: List::new(),
            max_bytes,
        };
        let name = tree.names.push(b"");
        let inode = tree.add_inode(root, 0, Data::Directory(ROOT));
        tree.nodes.push(Node {
            parent: ROOT,
            name,
            inode,
        });
        tree
    }

    /// Fails if the tree uses more memory than it may.
    pub(crate) fn check(&self) -> Result<(), EntryError> {
        // Growing a table needs the old and the new one for a moment. Interned attributes are held
        // in a list and in such a table.
        let interned = self.attrs.bytes() * 7 + self.xattrs.len() * 128 + self.xattr_bytes;
        let used = self.nodes.bytes()
            + self.names.bytes()
            + self.inodes.bytes()
            + self.extents.bytes()
            + self.nodes.len() as usize * 12
            + interned;
        match used > self.max_bytes {
            true => Err(EntryError::TooMuchMetadata(self.max_bytes)),
            false => Ok(()),
        }
    }

    pub(crate) fn node_count(&self) -> u32 {
        self.nodes.len()
    }

    pub(crate) fn inode_count(&self) -> u32 {
        self.inodes.len()
    }

    pub(crate) fn node(&self, id: NodeId) -> Node {
        self.nodes.get(id)
    }

    pub(crate) fn name(&self, id: NodeId) -> &[u8] {
        self.names.get(self.nodes.get(id).name)
    }

    /// The inode under a name.
    pub(crate) fn inode_of(&self, id: NodeId) -> Inode {
        self.inode(self.nodes.get(id).inode)
    }

    /// The child of a directory by its name.
    pub(crate) fn child(&self, parent: NodeId, name: &[u8]) -> Option<NodeId> {
        let id = self.table[self.slot(parent, name)];
        (id != EMPTY).then_some(id)
    }

    /// Gives a directory an entry; what had the name before is gone, with all below it.
    pub(crate) fn link(&mut self, parent: NodeId, name: &[u8], inode: InodeId) -> NodeId {
        let slot = self.slot(parent, name);
        let old = self.table[slot];
        let id = self.nodes.len();
        let name_at = if old == EMPTY {
            self.names.push(name)
        } else {
            // What is below the old node stays in the table under the old number, where nothing
            // finds it any more.
            let node = self.nodes.get_mut(old);
            node.inode = DEAD;
            node.name
        };
        self.nodes.push(Node {
            parent,
            name: name_at,
            inode,
        });
        self.table[slot] = id;
        // Replaced nodes take no slot, so the count is at most too high.
        if self.nodes.len() as usize * 4 > self.table.len() * 3 {
            self.grow();
        }
        id
    }

    /// Adds an empty directory.
    pub(crate) fn link_directory(&mut self, parent: NodeId, name: &[u8], meta: Meta) -> NodeId {
        let inode = self.add_inode(meta, 0, Data::Directory(self.nodes.len()));
        self.link(parent, name, inode)
    }

    /// Adds an inode that has no name yet.
    pub(crate) fn add_inode(&mut self, meta: Meta, size: u64, data: Data) -> InodeId {
        let (data, flags) = match data {
            Data::Directory(n) | Data::Blocks(n) | Data::Target(n) | Data::Device(n) => (n, 0),
            Data::Chunks(n) => (n, CHUNKED),
        };
        let attr = self.attr(meta) | flags;
        self.inodes.push(PackedInode {
            mtime: pack_time(meta.mtime),
            size,
            data,
            attr,
        })
    }

    pub(crate) fn inode(&self, id: InodeId) -> Inode {
        let packed = self.inodes.get(id);
        let attr = self.attrs.get(packed.attr & !(CHUNKED | OPAQUE));
        let data = match attr.mode & S_IFMT {
            S_IFDIR => Data::Directory(packed.data),
            S_IFLNK => Data::Target(packed.data),
            crate::format::S_IFREG if packed.attr & CHUNKED != 0 => Data::Chunks(packed.data),
            crate::format::S_IFREG => Data::Blocks(packed.data),
            _ => Data::Device(packed.data),
        };
        let meta = Meta {
            mode: attr.mode,
            uid: attr.uid,
            gid: attr.gid,
            mtime: unpack_time(packed.mtime),
            xattrs: attr.xattrs,
        };
        Inode {
            meta,
            size: packed.size,
            data,
            opaque: packed.attr & OPAQUE != 0,
        }
    }

    /// Gives a directory new attributes; what is in it stays.
    pub(crate) fn set_meta(&mut self, id: NodeId, meta: Meta) {
        let attr = self.attr(meta);
        let inode = self.inodes.get_mut(self.nodes.get(id).inode);
        inode.mtime = pack_time(meta.mtime);
        inode.attr = attr | (inode.attr & OPAQUE);
    }

    /// Makes a directory hide those of lower layers.
    pub(crate) fn set_opaque(&mut self, id: NodeId) {
        self.inodes.get_mut(self.nodes.get(id).inode).attr |= OPAQUE;
    }

    /// Whether the node says that lower layers' entry of its name is gone.
    pub(crate) fn is_whiteout(&self, id: NodeId) -> bool {
        let inode = self.inode_of(id);
        inode.meta.mode & S_IFMT == S_IFCHR && inode.data == Data::Device(0)
    }

    /// Stores the target of a symbolic link.
    pub(crate) fn add_target(&mut self, target: &[u8]) -> Data {
        Data::Target(self.names.push(target))
    }

    /// The target of a symbolic link.
    pub(crate) fn target(&self, at: u32) -> &[u8] {
        self.names.get(at)
    }

    /// Stores where a file with holes has its data.
    pub(crate) fn add_extents(&mut self, extents: &Extents) -> Data {
        let at = self.extents.push(extents.start);
        self.extents.push(extents.piece_bits);
        // A file of 2⁴⁴ bytes has at most 2²⁸ pieces.
        self.extents.push(extents.runs.len() as u32);
        for &(hole, data) in &extents.runs {
            self.extents.push(hole);
            self.extents.push(data);
        }
        Data::Chunks(at)
    }

    /// Where a file with holes has its data.
    pub(crate) fn extents(&self, at: u32) -> Extents {
        let runs = (0..self.extents.get(at + 2)).map(|n| at + 3 + 2 * n);
        Extents {
            start: self.extents.get(at),
            piece_bits: self.extents.get(at + 1),
            runs: runs
                .map(|at| (self.extents.get(at), self.extents.get(at + 1)))
                .collect(),
        }
    }

    /// Interns a set of extended attributes, encoded as [`crate::xattr`] does.
    pub(crate) fn xattrs(&mut self, encoded: &[u8]) -> u32 {
        if encoded.is_empty() {
            return 0;
        }
        if let Some(&number) = self.xattr_numbers.get(encoded) {
            return number;
        }
        let number = self.xattrs.len() as u32;
        let encoded: Rc<[u8]> = encoded.into();
        self.xattr_bytes += encoded.len();
        self.xattrs.push(encoded.clone());
        self.xattr_numbers.insert(encoded, number);
        number
    }

    /// A set of extended attributes by its number.
    pub(crate) fn xattr_set(&self, number: u32) -> &[u8] {
        &self.xattrs[number as usize]
    }

    /// Gives back the memory of what is only needed while the tree grows.
    pub(crate) fn freeze(&mut self) {
        self.table = Vec::new();
        self.attr_numbers = HashMap::new();
        self.xattr_numbers = HashMap::new();
    }

    fn attr(&mut self, meta: Meta) -> u32 {
        let Meta {
            mode,
            uid,
            gid,
            xattrs,
            ..
        } = meta;
        let attr = Attr {
            mode,
            uid,
            gid,
            xattrs,
        };
        *self
            .attr_numbers
            .entry(attr)
            .or_insert_with(|| self.attrs.push(attr))
    }

    /// The slot that holds the name, or the empty one where it belongs.
    fn slot(&self, parent: NodeId, name: &[u8]) -> usize {
        let mask = self.table.len() - 1;
        // SipHash with a random key: names cannot be chosen to collide. The order of the table
        // never shows in the image.
        let mut at = self.hasher.hash_one((parent, name)) as usize & mask;
        loop {
            let id = self.table[at];
            if id == EMPTY {
                return at;
            }
            let node = self.nodes.get(id);
            if node.parent == parent && self.names.get(node.name) == name {
                return at;
            }
            at = (at + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.table);
        self.table = vec![EMPTY; old.len() * 2];
        for id in old.into_iter().filter(|&id| id != EMPTY) {
            let node = self.nodes.get(id);
            let slot = self.slot(node.parent, self.names.get(node.name));
            self.table[slot] = id;
        }
    }
}

/// Times outside the years 1697 to 2242 become the nearest that fits.
fn pack_time((seconds, nanos): (i64, u32)) -> u64 {
    let most = 1_i64 << 33;
    let (seconds, nanos) = match seconds {
        s if s >= most => (most - 1, 999_999_999),
        s if s < -most => (-most, 0),
        s => (s, nanos),
    };
    (seconds << 30).cast_unsigned() | u64::from(nanos)
}

fn unpack_time(packed: u64) -> (i64, u32) {
    (
        packed.cast_signed() >> 30,
        (packed & ((1 << 30) - 1)) as u32,
    )
}

#[cfg(test)]
#[path = "tree_test.rs"]
mod tests;
