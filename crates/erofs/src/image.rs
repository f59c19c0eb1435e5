//! The image's metadata: written after all the data, when the whole tree is known.
//!
//! ```text
//! superblock | content of files | inodes, with xattrs, chunk tables, short directories and
//!            |                  | targets of links in them | blocks of directories
//! ```

use std::io::{Seek, Write};

use crate::directory::{Block, Directory};
use crate::error::Error;
use crate::format::{
    BLOCK, BLOCK_LEN, DataLayout, INODE_LEN, Inode, MAX_CHUNK_BITS, NULL_BLOCK, SLOT, Superblock,
};
use crate::output::Output;
use crate::tree::{Data, Extents, InodeId, NodeId, ROOT, Tree};
use crate::{limits::MAX_FILE, xattr};

/// The root's `nid`: 16 bits are all it has, so it comes first; 0 would read as "no inode".
const ROOT_NID: u16 = 2;

/// What the finished image holds.
pub(crate) struct Finished {
    pub(crate) inodes: u64,
    pub(crate) bytes: u64,
}

/// Writes the metadata of a tree whose files' content is in the image already.
pub(crate) fn finish<W: Write + Seek>(
    tree: &mut Tree,
    mut out: Output<'_, W>,
    uuid: Option<[u8; 16]>,
    max_bytes: u64,
) -> Result<Finished, Error> {
    tree.freeze();
    let tree = &*tree;
    let (links, children) = live(tree);
    let mut image = Image {
        tree,
        links,
        children,
        nids: Vec::new(),
    };
    out.pad()?;
    let meta_block = out.block();
    let limit = max_bytes.min(MAX_FILE - BLOCK);

    // First where everything goes.
    let layout = image.place();
    let directory_block = u64::from(meta_block) + layout.meta_bytes.div_ceil(BLOCK);
    // fsck.erofs 1.5 reads the header of an inode's attributes even where there are none. After
    // the last inode of an image there has to be something to read.
    let spare = u64::from(layout.blocks == 0 && layout.meta_bytes % BLOCK == 0);
    let blocks = directory_block + layout.blocks + spare;
    let slots = layout.meta_bytes / SLOT;
    let (Ok(blocks), Ok(directory_block), true) = (
        u32::try_from(blocks),
        u32::try_from(directory_block),
        blocks * BLOCK <= limit && slots < u64::from(u32::MAX),
    ) else {
        return Err(Error::ImageTooLarge(limit));
    };

    // Then everything there.
    let (hash, chunked) = image.write_inodes(&mut out, directory_block)?;
    out.pad()?;
    image.write_blocks(&mut out)?;
    out.zeros(spare * BLOCK)?;
    let superblock = Superblock {
        meta_block,
        blocks,
        inodes: layout.inodes,
        root_nid: ROOT_NID,
        uuid: uuid.unwrap_or_else(|| hash.uuid()),
        chunked,
    };
    out.finish(&superblock.encode())?;
    Ok(Finished {
        inodes: layout.inodes,
        bytes: u64::from(blocks) * BLOCK,
    })
}

/// How many live names each inode has, and all live names but the root sorted by their directory
/// and then by themselves.
fn live(tree: &Tree) -> (Vec<u32>, Vec<NodeId>) {
    let count = tree.node_count();
    let mut alive = vec![false; count as usize];
    let mut links = vec![0; tree.inode_count() as usize];
    let mut names = Vec::new();
    for id in 0..count {
        let node = tree.node(id);
        // A directory comes before what is in it.
        if node.is_live() && (id == ROOT || alive[node.parent as usize]) {
            alive[id as usize] = true;
            links[node.inode as usize] += 1;
            if id != ROOT {
                names.push(id);
            }
        }
    }
    names.sort_unstable_by(|&a, &b| {
        let parents = tree.node(a).parent.cmp(&tree.node(b).parent);
        parents.then_with(|| tree.name(a).cmp(tree.name(b)))
    });
    (links, names)
}

struct Image<'a> {
    tree: &'a Tree,
    links: Vec<u32>,
    children: Vec<NodeId>,
    /// Where each inode is, in slots.
    nids: Vec<u32>,
}

/// How much room everything takes.
struct Layout {
    inodes: u64,
    meta_bytes: u64,
    blocks: u64,
}

/// What comes with one inode.
struct Shape {
    xattr_len: usize,
    layout: DataLayout,
    /// Content right after the inode.
    inline: usize,
    /// Chunks in the table right after the inode, and log2 of a chunk's blocks.
    chunks: u64,
    chunk_bits: u32,
    /// Blocks of content among those of directories.
    blocks: u64,
    size: u64,
}

impl Shape {
    fn head(&self) -> usize {
        INODE_LEN + self.xattr_len
    }

    /// Bytes from the inode's first to the last of what follows it.
    fn length(&self) -> u64 {
        self.head() as u64 + self.inline as u64 + self.chunks * 4
    }

    /// Where the inode goes if everything before `end` is taken. An inode does not cross a
    /// block's border, and neither does its inline content.
    fn place(&self, end: u64) -> u64 {
        let at = end.next_multiple_of(SLOT);
        let whole = if self.inline > 0 {
            self.head() + self.inline
        } else {
            INODE_LEN
        };
        match at % BLOCK + whole as u64 > BLOCK {
            true => at.next_multiple_of(BLOCK),
            false => at,
        }
    }
}

impl Image<'_> {
    fn live_inodes(&self) -> impl Iterator<Item = InodeId> {
        let links = self.links.iter().zip(0..);
        links.filter(|&(&links, _)| links > 0).map(|(_, id)| id)
    }

    fn directory(&self, node: NodeId) -> Directory<'_> {
        let parent = |id: &NodeId| self.tree.node(*id).parent;
        let first = self.children.partition_point(|id| parent(id) < node);
        let rest = &self.children[first..];
        let count = rest.partition_point(|id| parent(id) == node);
        Directory::new(self.tree, node, &rest[..count])
    }

    fn place(&mut self) -> Layout {
        let mut layout = Layout {
            inodes: 0,
            meta_bytes: u64::from(ROOT_NID) * SLOT,
            blocks: 0,
        };
        self.nids = vec![0; self.links.len()];
        for id in 0..self.links.len() {
            if self.links[id] == 0 {
                continue;
            }
            let shape = self.shape(id as InodeId);
            let at = shape.place(layout.meta_bytes);
            // Too large a number is noticed by the caller.
            self.nids[id] = u32::try_from(at / SLOT).unwrap_or(u32::MAX);
            layout.meta_bytes = at + shape.length();
            layout.blocks += shape.blocks;
            layout.inodes += 1;
        }
        layout
    }

    fn shape(&self, id: InodeId) -> Shape {
        let inode = self.tree.inode(id);
        let xattr_len = match self.xattrs(id).len() {
            0 => 0,
            length => xattr::HEADER + length,
        };
        let mut shape = Shape {
            xattr_len,
            layout: DataLayout::FlatPlain,
            inline: 0,
            chunks: 0,
            chunk_bits: 0,
            blocks: 0,
            size: inode.size,
        };
        let tail = match inode.data {
            Data::Directory(node) => {
                let (mut count, mut last) = (0, 0);
                for block in self.directory(node).blocks() {
                    count += 1;
                    last = block.used;
                }
                shape.blocks = count - 1;
                shape.size = shape.blocks * BLOCK + last as u64;
                last
            }
            Data::Target(at) => self.tree.target(at).len(),
            Data::Chunks(at) => {
                shape.layout = DataLayout::ChunkBased;
                shape.chunk_bits = chunk_bits(&self.tree.extents(at));
                shape.chunks = inode.size.div_ceil(BLOCK << shape.chunk_bits);
                return shape;
            }
            Data::Blocks(_) | Data::Device(_) => return shape,
        };
        // A tail that would waste much of a block to keep it whole gets a block of its own.
        if shape.head() + tail <= BLOCK_LEN / 2 {
            shape.layout = DataLayout::FlatInline;
            shape.inline = tail;
        } else {
            shape.blocks += 1;
        }
        shape
    }

    /// The inode's extended attributes, encoded, without their header.
    fn xattrs(&self, id: InodeId) -> Vec<u8> {
        let inode = self.tree.inode(id);
        let mut set = self.tree.xattr_set(inode.meta.xattrs).to_vec();
        if inode.opaque {
            set.extend(xattr::opaque());
        }
        set
    }

    fn write_inodes<W: Write + Seek>(
        &self,
        out: &mut Output<'_, W>,
        mut next_block: u32,
    ) -> Result<(Hash, bool), Error> {
        let base = out.position();
        let mut hash = Hash::new();
        let mut chunked = false;
        for (number, id) in self.live_inodes().enumerate() {
            let inode = self.tree.inode(id);
            let shape = self.shape(id);
            let at = base + u64::from(self.nids[id as usize]) * SLOT;
            out.zeros(at - out.position())?;
            let meta = inode.meta;
            let mut links = self.links[id as usize];
            let union = match inode.data {
                Data::Directory(node) => {
                    links = self.directory(node).links();
                    next_block
                }
                Data::Target(_) => next_block,
                Data::Chunks(_) => shape.chunk_bits,
                Data::Blocks(number) | Data::Device(number) => number,
            };
            // The caller has found all the blocks to fit into 32 bits.
            next_block += shape.blocks as u32;
            chunked |= shape.chunks > 0;
            let encoded = Inode {
                layout: shape.layout,
                xattr_len: shape.xattr_len,
                mode: meta.mode,
                size: shape.size,
                union,
                ino: number as u32 + 1,
                uid: meta.uid,
                gid: meta.gid,
                mtime: meta.mtime.0,
                mtime_nsec: meta.mtime.1,
                nlink: links,
            };
            let mut bytes = encoded.encode().to_vec();
            if shape.xattr_len > 0 {
                bytes.extend([0; xattr::HEADER]);
                bytes.extend(self.xattrs(id));
            }
            match inode.data {
                Data::Directory(node) if shape.inline > 0 => {
                    let directory = self.directory(node);
                    if let Some(block) = directory.blocks().last() {
                        bytes.extend(self.encode(&directory, block));
                    }
                }
                Data::Target(at) if shape.inline > 0 => bytes.extend(self.tree.target(at)),
                Data::Chunks(at) => table(&self.tree.extents(at), &shape, &mut bytes),
                _ => {}
            }
            hash.update(&bytes);
            out.write(&bytes)?;
        }
        Ok((hash, chunked))
    }

    /// Writes the blocks of directories and targets, in the order in which `write_inodes` gave
    /// them numbers.
    fn write_blocks<W: Write + Seek>(&self, out: &mut Output<'_, W>) -> Result<(), Error> {
        for id in self.live_inodes() {
            let shape = self.shape(id);
            if shape.blocks == 0 {
                continue;
            }
            match self.tree.inode(id).data {
                Data::Directory(node) => {
                    let directory = self.directory(node);
                    for block in directory.blocks().take(shape.blocks as usize) {
                        out.write(&self.encode(&directory, block))?;
                        out.pad()?;
                    }
                }
                Data::Target(at) => out.write(self.tree.target(at))?,
                _ => {}
            }
            out.pad()?;
        }
        Ok(())
    }

    fn encode(&self, directory: &Directory<'_>, block: Block) -> Vec<u8> {
        directory.encode(block, |inode| self.nids[inode as usize].into())
    }
}

/// log2 of the largest chunk, in blocks, of which each is all hole or all data.
fn chunk_bits(extents: &Extents) -> u32 {
    let (mut pieces, mut borders) = (0_u32, 0_u32);
    for &(hole, data) in &extents.runs {
        for run in [hole, data].into_iter().filter(|&run| run > 0) {
            borders |= pieces;
            pieces += run;
        }
    }
    // Chunks end where the pieces do, except that the last may be shorter.
    let whole = pieces.next_power_of_two().trailing_zeros();
    (extents.piece_bits + borders.trailing_zeros().min(whole)).min(MAX_CHUNK_BITS)
}

/// The table of a file's chunks: where each begins.
fn table(extents: &Extents, shape: &Shape, out: &mut Vec<u8>) {
    let bits = shape.chunk_bits - extents.piece_bits;
    let mut block = extents.start;
    for &(hole, data) in &extents.runs {
        for _ in 0..hole.div_ceil(1 << bits) {
            out.extend(NULL_BLOCK.to_le_bytes());
        }
        for _ in 0..data.div_ceil(1 << bits) {
            out.extend(block.to_le_bytes());
            block = block.wrapping_add(1 << shape.chunk_bits);
        }
    }
}

/// FNV-1a of 128 bits: the image's UUID tells apart what differs; it protects from nobody.
struct Hash(u128);

impl Hash {
    fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 =
                (self.0 ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    /// A UUID of version 8 (RFC 9562: made in a way of its own).
    fn uuid(&self) -> [u8; 16] {
        let mut uuid = self.0.to_be_bytes();
        uuid[6] = uuid[6] & 0x0f | 0x80;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        uuid
    }
}

#[cfg(test)]
#[path = "image_test.rs"]
mod tests;
