//! EROFS on disk, as far as this crate writes it: Linux's `fs/erofs/erofs_fs.h`.
//! All numbers are little endian.

/// Bytes of a block, which is also the page that DAX maps.
pub(crate) const BLOCK: u64 = 4096;
/// [`BLOCK`] as a length in memory.
pub(crate) const BLOCK_LEN: usize = 4096;
/// log2 of [`BLOCK`].
pub(crate) const BLOCK_BITS: u8 = 12;
/// Inodes are addressed in slots of this many bytes (`nid`).
pub(crate) const SLOT: u64 = 32;
/// Bytes of an extended inode.
pub(crate) const INODE_LEN: usize = 64;
/// Bytes of a directory entry without its name.
pub(crate) const DIRENT_LEN: usize = 12;
/// The longest name of one directory entry.
pub(crate) const NAME_MAX: usize = 255;
/// A chunk with no blocks: it reads as zeros.
pub(crate) const NULL_BLOCK: u32 = u32::MAX;
/// The largest chunk is `BLOCK << MAX_CHUNK_BITS`.
pub(crate) const MAX_CHUNK_BITS: u32 = 31;

const SUPER_OFFSET: usize = 1024;
const SUPER_MAGIC: u32 = 0xE0F5_E1E2;
const COMPAT_SB_CHKSUM: u32 = 0x1;
const COMPAT_MTIME: u32 = 0x2;
const INCOMPAT_CHUNKED_FILE: u32 = 0x4;

/// How an inode's data is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataLayout {
    /// Whole blocks, one after the other.
    FlatPlain = 0,
    /// Whole blocks, and the tail right after the inode.
    FlatInline = 2,
    /// A table of chunks after the inode.
    ChunkBased = 4,
}

/// File type as directory entries give it (the kernel's `FT_*`).
pub(crate) fn file_type(mode: u16) -> u8 {
    match mode & S_IFMT {
        S_IFREG => 1,
        S_IFDIR => 2,
        S_IFCHR => 3,
        S_IFBLK => 4,
        S_IFIFO => 5,
        S_IFLNK => 7,
        _ => 0,
    }
}

pub(crate) const S_IFMT: u16 = 0o170_000;
pub(crate) const S_IFIFO: u16 = 0o010_000;
pub(crate) const S_IFCHR: u16 = 0o020_000;
pub(crate) const S_IFDIR: u16 = 0o040_000;
pub(crate) const S_IFBLK: u16 = 0o060_000;
pub(crate) const S_IFREG: u16 = 0o100_000;
pub(crate) const S_IFLNK: u16 = 0o120_000;

/// A 64-byte inode (`struct erofs_inode_extended`).
pub(crate) struct Inode {
    pub(crate) layout: DataLayout,
    /// Bytes of the inline extended attributes, header included; 0 for none.
    pub(crate) xattr_len: usize,
    pub(crate) mode: u16,
    pub(crate) size: u64,
    /// First block, device number or chunk format, by the kind of the inode.
    pub(crate) union: u32,
    /// A number for 32-bit `stat`.
    pub(crate) ino: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) mtime_nsec: u32,
    pub(crate) nlink: u32,
}

impl Inode {
    pub(crate) fn encode(&self) -> [u8; INODE_LEN] {
        let mut b = [0; INODE_LEN];
        let format = 1 | ((self.layout as u16) << 1);
        put16(&mut b, 0, format);
        put16(&mut b, 2, xattr_icount(self.xattr_len));
        put16(&mut b, 4, self.mode);
        put64(&mut b, 8, self.size);
        put32(&mut b, 16, self.union);
        put32(&mut b, 20, self.ino);
        put32(&mut b, 24, self.uid);
        put32(&mut b, 28, self.gid);
        put64(&mut b, 32, self.mtime.cast_unsigned());
        put32(&mut b, 40, self.mtime_nsec);
        put32(&mut b, 44, self.nlink);
        b
    }
}

/// `i_xattr_icount` for inline attributes of `len` bytes: one for the header of 12 bytes, and one
/// for each further 4 bytes.
fn xattr_icount(len: usize) -> u16 {
    match len {
        0 => 0,
        // `xattr::encode` keeps the length within 16 bits of units.
        _ => u16::try_from((len - 12) / 4 + 1).unwrap_or(u16::MAX),
    }
}

/// Encodes a device number as the kernel's `new_encode_dev` does.
pub(crate) fn device_number(major: u64, minor: u64) -> Option<u32> {
    if major >= 1 << 12 || minor >= 1 << 20 {
        return None;
    }
    u32::try_from((minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)).ok()
}

/// What the superblock says of the image.
pub(crate) struct Superblock {
    /// Where the inode with nid 0 would be.
    pub(crate) meta_block: u32,
    /// Blocks of the whole image.
    pub(crate) blocks: u32,
    pub(crate) inodes: u64,
    pub(crate) root_nid: u16,
    pub(crate) uuid: [u8; 16],
    /// Whether any inode is chunk-based.
    pub(crate) chunked: bool,
}

impl Superblock {
    /// The image's first block.
    pub(crate) fn encode(&self) -> [u8; BLOCK_LEN] {
        let mut block = [0; BLOCK_LEN];
        let b = &mut block[SUPER_OFFSET..];
        put32(b, 0, SUPER_MAGIC);
        put32(b, 8, COMPAT_SB_CHKSUM | COMPAT_MTIME);
        b[12] = BLOCK_BITS;
        put16(b, 14, self.root_nid);
        put64(b, 16, self.inodes);
        put32(b, 36, self.blocks);
        put32(b, 40, self.meta_block);
        b[48..64].copy_from_slice(&self.uuid);
        put32(
            b,
            80,
            if self.chunked {
                INCOMPAT_CHUNKED_FILE
            } else {
                0
            },
        );
        let sum = crc32c(b);
        put32(b, 4, sum);
        block
    }
}

/// CRC-32C as EROFS takes it: all ones to begin with, not inverted at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg())
        })
    })
}

pub(crate) fn put16(b: &mut [u8], at: usize, v: u16) {
    b[at..at + 2].copy_from_slice(&v.to_le_bytes());
}

pub(crate) fn put32(b: &mut [u8], at: usize, v: u32) {
    b[at..at + 4].copy_from_slice(&v.to_le_bytes());
}

pub(crate) fn put64(b: &mut [u8], at: usize, v: u64) {
    b[at..at + 8].copy_from_slice(&v.to_le_bytes());
}

#[cfg(test)]
#[path = "format_test.rs"]
mod tests;
