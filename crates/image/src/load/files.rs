//! The files of what is loaded, whether it is a folder, an archive or a stream.

use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::tar::{self, Archive};
use super::{Error, LoadOptions};
use crate::layer::Kind;
use crate::progress::Event;
use crate::store::{Store, TempFile, io_error};

/// Bytes copied at a time.
const BUFFER: usize = 128 << 10;

/// Named files, read only.
pub(super) enum Files {
    Folder(PathBuf),
    Archive {
        archive: Archive,
        /// The copy of a stream or of a compressed archive, for as long as it is read.
        _copy: Option<TempFile>,
    },
}

/// A file's bytes and how many there are.
pub(super) struct Opened {
    pub(super) reader: Box<dyn Read + Send>,
    pub(super) size: u64,
}

impl Files {
    /// Opens a layout's folder or an archive.
    pub(super) fn at(path: &Path, store: &Store, options: &LoadOptions) -> Result<Self, Error> {
        let read_error = Error::Read;
        if fs::metadata(path).map_err(read_error)?.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let mut file = File::open(path).map_err(read_error)?;
        if !file.metadata().map_err(read_error)?.is_file() {
            return Self::stream(file, store, options);
        }
        let mut head = Vec::new();
        file.by_ref()
            .take(4)
            .read_to_end(&mut head)
            .map_err(read_error)?;
        file.seek(SeekFrom::Start(0)).map_err(read_error)?;
        match Kind::of(&head) {
            Kind::Plain => Ok(Self::Archive {
                archive: Archive::index(file)?,
                _copy: None,
            }),
            _ => Self::stream(file, store, options),
        }
    }

    /// Keeps what comes, uncompressed, in a file of the store's: an archive's table of contents
    /// is at its end, and a stream is read but once.
    pub(super) fn stream(
        mut stream: impl Read,
        store: &Store,
        options: &LoadOptions,
    ) -> Result<Self, Error> {
        // A pipe may give less at once than it takes to know a compression.
        let mut head = Vec::new();
        stream
            .by_ref()
            .take(4)
            .read_to_end(&mut head)
            .map_err(Error::Read)?;
        let kind = Kind::of(&head);
        let whole = Cursor::new(head).chain(stream);
        let mut reader = kind.decoder(BufReader::with_capacity(BUFFER, whole));
        let mut copy = store.spool()?;
        let limit = options.limits.archive;
        let mut bytes = 0;
        let mut buffer = vec![0; BUFFER];
        loop {
            if options.stop.is_stopped() {
                return Err(Error::Stopped);
            }
            let n = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::Read(error)),
            };
            bytes += n as u64;
            if bytes > limit {
                return Err(Error::TooLarge { limit });
            }
            let written = io::Write::write_all(copy.file(), &buffer[..n]);
            written.map_err(|error| io_error("write", copy.path(), error))?;
            options.progress.event(&Event::Spooling { bytes });
        }
        if bytes == 0 {
            return Err(Error::Empty);
        }
        let file = copy.file().try_clone().map_err(Error::Read)?;
        Ok(Self::Archive {
            archive: Archive::index(file)?,
            _copy: Some(copy),
        })
    }

    /// Opens a file by its path within; `None` if there is none.
    pub(super) fn open(&self, name: &str) -> Result<Option<Opened>, Error> {
        match self {
            Self::Archive { archive, .. } => Ok(archive.open(name).map(|section| Opened {
                size: section.len(),
                reader: Box::new(section),
            })),
            Self::Folder(folder) => {
                let file = match open_beneath(folder, name) {
                    Ok(file) => file,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(Error::Read(error)),
                };
                let metadata = file.metadata().map_err(Error::Read)?;
                Ok(metadata.is_file().then(|| Opened {
                    size: metadata.len(),
                    reader: Box::new(file),
                }))
            }
        }
    }

    /// Reads a small file whole; `None` if there is none.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(opened) = self.open(name)? else {
            return Ok(None);
        };
        let too_large = || Error::FileTooLarge {
            name: crate::one_line(name),
            limit,
        };
        if opened.size > limit {
            return Err(too_large());
        }
        let mut bytes = Vec::new();
        opened
            .reader
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(Error::Read)?;
        if bytes.len() as u64 > limit {
            return Err(too_large());
        }
        Ok(Some(bytes))
    }
}

/// Opens a file that is in the folder, also by way of its links, and does not block at a pipe:
/// the folder may be a stranger's.
fn open_beneath(folder: &Path, name: &str) -> io::Result<File> {
    let root = File::open(folder)?;
    let file = openat2(
        &root,
        name,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
    )?;
    Ok(file.into())
}

impl From<tar::Error> for Error {
    fn from(error: tar::Error) -> Self {
        Self::Archive(error)
    }
}
