//! What can go wrong, and how it is said: one line, with the entry by name.

use std::fmt;
use std::io;

use thiserror::Error;

/// How many characters of a name an error shows.
const SHOWN: usize = 256;

/// A name from a tar stream as errors show it: quoted, with bytes that a terminal must not see
/// escaped, and cut at 256 characters.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Takes a name as it stands in the stream.
    pub fn new(bytes: &[u8]) -> Self {
        let mut shown: String = bytes
            .utf8_chunks()
            .flat_map(|chunk| {
                let bad = chunk.invalid().iter().map(|b| format!("\\x{b:02x}"));
                std::iter::once(chunk.valid().escape_debug().to_string()).chain(bad)
            })
            .collect();
        if let Some((cut, _)) = shown.char_indices().nth(SHOWN) {
            shown.truncate(cut);
            shown.push('…');
        }
        Self(shown)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a conversion failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The source of the tar stream failed.
    #[error("cannot read the tar stream after {offset} bytes")]
    Read {
        /// How many bytes had been read.
        offset: u64,
        /// What the source said.
        #[source]
        source: io::Error,
    },
    /// The image could not be written.
    #[error("cannot write the image")]
    Write(#[source] io::Error),
    /// The output already holds something.
    #[error("the image's file is not empty ({0} bytes)")]
    OutputNotEmpty(u64),
    /// The stream is not a tar stream at this place.
    #[error("bad tar stream at byte {offset}")]
    Stream {
        /// Where the header in question begins, in bytes from the stream's start.
        offset: u64,
        /// What is wrong there.
        #[source]
        source: TarError,
    },
    /// One entry cannot be taken.
    #[error("tar entry {entry}")]
    Entry {
        /// The entry's name as it stands in the stream.
        entry: Name,
        /// Why not.
        #[source]
        source: EntryError,
    },
    /// The image as a whole would exceed a limit. (The limits that one entry crosses are told as
    /// [`Error::Entry`].)
    #[error("the image exceeds the limit of {0} bytes")]
    ImageTooLarge(u64),
}

/// What is wrong with a header, or with the stream between entries.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum TarError {
    /// The stream ended within a header or within the data that an entry announced.
    #[error("the stream ends in the middle of an entry")]
    Truncated,
    /// The header's sum of bytes is not what the header says: not a tar stream, or a damaged one.
    #[error("the header's checksum is wrong (not a tar archive, or damaged)")]
    Checksum,
    /// A numeric field is neither octal nor base-256, or too large.
    #[error("the field {0} is not a number or too large")]
    Number(&'static str),
    /// A PAX extended header does not consist of `LENGTH KEY=VALUE` records.
    #[error("malformed PAX header")]
    Pax,
    /// A PAX value is not of the form its key asks for.
    #[error("the PAX record {0} has a malformed value")]
    PaxValue(&'static str),
    /// An extended header or long name is larger than is ever needed.
    #[error("an extended header of {0} bytes is too large")]
    ExtensionTooLarge(u64),
    /// A long name or PAX header with no entry after it, or two for the same entry.
    #[error("an extended header that belongs to no entry")]
    StrayExtension,
    /// After an end-of-archive block there is another entry.
    #[error("a single zero block in the middle of the archive")]
    LoneZeroBlock,
    /// The stream goes on for longer than is allowed.
    #[error("the stream exceeds the limit of {0} bytes")]
    TooLong(u64),
}

/// What is wrong with one entry.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum EntryError {
    /// The stream ended within the entry's data.
    #[error("the tar stream ends in the middle of it")]
    Truncated,
    /// The name is empty, or holds a NUL byte.
    #[error("the name is empty or holds a NUL byte")]
    BadName,
    /// The name leads out of the layer by `..`.
    #[error("the name leads out of the layer")]
    Escapes,
    /// The name or its target is longer than [`crate::Limits::max_path_bytes`].
    #[error("a path of {length} bytes exceeds the limit of {limit}")]
    PathTooLong {
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// One component of the name is longer than EROFS can hold.
    #[error("a name of {0} bytes exceeds EROFS's limit of 255")]
    NameTooLong(usize),
    /// The path leads through something that is not a directory.
    #[error("the path leads through {0}, which is not a directory")]
    NotADirectory(Name),
    /// The path leads through more symbolic links than a kernel would follow.
    #[error("the path leads through too many symbolic links")]
    SymlinkLoop,
    /// The root was given as something other than a directory.
    #[error("the root of the layer can only be a directory")]
    RootNotDirectory,
    /// A hard link to something that this layer does not hold (yet).
    #[error("the hard link's target {0} is not in this layer")]
    LinkTargetMissing(Name),
    /// A hard link to a name that leads out of the layer.
    #[error("the hard link's target {0} leads out of the layer")]
    LinkTargetEscapes(Name),
    /// A hard link to a directory.
    #[error("the hard link's target {0} is a directory")]
    LinkTargetIsDirectory(Name),
    /// A symbolic link with no target, or with one that no kernel takes (NUL, over 4,095 bytes).
    #[error("the symbolic link's target is empty, too long or holds a NUL byte")]
    BadSymlinkTarget,
    /// A device number that Linux cannot express (12 bits major, 20 bits minor).
    #[error("no such device number: {major}:{minor}")]
    BadDevice {
        /// Major number.
        major: u64,
        /// Minor number.
        minor: u64,
    },
    /// An entry type that a container layer has no use for.
    #[error("entries of type {0:?} are not supported")]
    UnsupportedType(char),
    /// A size that no file system can hold, or over [`crate::Limits::max_file_bytes`].
    #[error("a file of {size} bytes exceeds the limit of {limit}")]
    FileTooLarge {
        /// The file's size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A user or group number over 32 bits.
    #[error("the {field} {value} does not fit into 32 bits")]
    BadOwner {
        /// `uid` or `gid`.
        field: &'static str,
        /// What the header says.
        value: u64,
    },
    /// The map of a sparse file is out of order, overlaps, or reaches beyond the file.
    #[error("the sparse file's map is malformed")]
    BadSparseMap,
    /// The map of a sparse file has more segments than [`crate::Limits::max_sparse_segments`].
    #[error("the sparse file's map has more than {0} segments")]
    TooManySegments(usize),
    /// An extended attribute with a name or value that Linux would refuse.
    #[error("the extended attribute {0} has a bad name or too large a value")]
    BadXattr(Name),
    /// The entry's extended attributes exceed [`crate::Limits::max_xattr_bytes`].
    #[error("extended attributes of {size} bytes exceed the limit of {limit}")]
    XattrsTooLarge {
        /// Names and values together, in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The layer has more entries than [`crate::Limits::max_entries`].
    #[error("the layer has more than {0} entries")]
    TooManyEntries(u64),
    /// Names, attributes and maps together need more memory than
    /// [`crate::Limits::max_metadata_bytes`].
    #[error("the layer's metadata exceeds the limit of {0} bytes")]
    TooMuchMetadata(usize),
    /// With this entry the image would exceed [`crate::Limits::max_image_bytes`].
    #[error("with it the image exceeds the limit of {0} bytes")]
    ImageTooLarge(u64),
}
