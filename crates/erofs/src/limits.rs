//! How much a layer may ask for.

/// Layers that one image may have: the bound of docker's layer store, and room on one disk.
pub const MAX_LAYERS: usize = 127;

/// Bounds on what a hostile or broken layer can cost. The defaults take any layer that real
/// images have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of the tar stream. Default: 1,000,000.
    pub max_entries: u64,
    /// Bytes of memory for names, attributes and maps, all told; the rest of a conversion needs
    /// less than 8 MiB. An entry costs about 48 bytes and its last name. Default: 54 MiB.
    pub max_metadata_bytes: usize,
    /// Bytes of the whole image. Default: 64 GiB.
    pub max_image_bytes: u64,
    /// Bytes of the tar stream, which is read to its end. Default: 128 GiB.
    pub max_tar_bytes: u64,
    /// Bytes of one file, holes included. Default, and the most that is possible: 16 TiB.
    pub max_file_bytes: u64,
    /// Bytes of an entry's name, or of a hard link's target. Default: 4,095, as in Linux.
    pub max_path_bytes: usize,
    /// Bytes of the names and values of one entry's extended attributes. Default: 128 KiB; more
    /// than 192 KiB is not possible.
    pub max_xattr_bytes: usize,
    /// Segments of data in one sparse file. Default: 65,536.
    pub max_sparse_segments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_entries: 1_000_000,
            max_metadata_bytes: 54 << 20,
            max_image_bytes: 64 << 30,
            max_tar_bytes: 128 << 30,
            max_file_bytes: MAX_FILE,
            max_path_bytes: 4095,
            max_xattr_bytes: 128 << 10,
            max_sparse_segments: 1 << 16,
        }
    }
}

/// 2³² blocks: as much as EROFS can number.
pub(crate) const MAX_FILE: u64 = 1 << 44;
