//! Directories as EROFS keeps them: entries sorted by the bytes of their names, cut into blocks.

use crate::format::{BLOCK_LEN, DIRENT_LEN, file_type, put16, put64};
use crate::format::{S_IFDIR, S_IFMT};
use crate::tree::{InodeId, NodeId, Tree};

/// One directory's entries, `.` and `..` among them where their names sort.
pub(crate) struct Directory<'a> {
    tree: &'a Tree,
    node: NodeId,
    children: &'a [NodeId],
    /// Where `.` and `..` are.
    dots: [usize; 2],
}

/// A block's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    first: usize,
    end: usize,
    /// Bytes in use.
    pub(crate) used: usize,
}

impl<'a> Directory<'a> {
    /// Takes the directory's children, sorted.
    pub(crate) fn new(tree: &'a Tree, node: NodeId, children: &'a [NodeId]) -> Self {
        let before = |dot: &[u8]| children.partition_point(|&child| tree.name(child) < dot);
        let dots = [before(b"."), before(b"..") + 1];
        Self {
            tree,
            node,
            children,
            dots,
        }
    }

    /// 2 and one for each directory in it.
    pub(crate) fn links(&self) -> u32 {
        let is_dir = |&&id: &&NodeId| self.tree.inode_of(id).meta.mode & S_IFMT == S_IFDIR;
        2 + self.children.iter().filter(is_dir).count() as u32
    }

    /// The blocks, at least one.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> {
        let count = self.children.len() + 2;
        let mut first = 0;
        std::iter::from_fn(move || {
            let mut block = Block {
                first,
                end: first,
                used: 0,
            };
            while block.end < count {
                let more = DIRENT_LEN + self.entry(block.end).0.len();
                if block.used + more > BLOCK_LEN {
                    break;
                }
                block.used += more;
                block.end += 1;
            }
            first = block.end;
            (block.used > 0).then_some(block)
        })
    }

    /// One block as it stands on disk, without padding.
    pub(crate) fn encode(&self, block: Block, nid: impl Fn(InodeId) -> u64) -> Vec<u8> {
        let mut out = vec![0; (block.end - block.first) * DIRENT_LEN];
        for (slot, index) in (block.first..block.end).enumerate() {
            let (name, node) = self.entry(index);
            let at = slot * DIRENT_LEN;
            let name_at = out.len() as u16;
            let inode = self.tree.node(node).inode;
            put64(&mut out, at, nid(inode));
            put16(&mut out, at + 8, name_at);
            out[at + 10] = file_type(self.tree.inode(inode).meta.mode);
            out.extend(name);
        }
        out
    }

    fn entry(&self, index: usize) -> (&[u8], NodeId) {
        match index {
            _ if index == self.dots[0] => (b".", self.node),
            _ if index == self.dots[1] => (b"..", self.tree.node(self.node).parent),
            _ => {
                let dots = self.dots.iter().filter(|&&dot| dot < index).count();
                let child = self.children[index - dots];
                (self.tree.name(child), child)
            }
        }
    }
}
