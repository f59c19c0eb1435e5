//! Where a machine keeps its journals: `BOOT/NAMESPACE/SANDBOX-TIME.journal`, the boot as its
//! kernel names it, containerd's namespace, and what the monotonic clock said. They are records:
//! nothing that cleans up after a Pod takes them away. The ledger lies beside them.

use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use crate::fold::fold;
use crate::pod_use::PodUse;
use crate::reader::{JournalError, Reader};
use crate::window::Window;

/// What a journal's name ends with.
const SUFFIX: &str = ".journal";

/// The directory of a machine's journals.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

/// A journal in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalFile {
    /// The file.
    pub path: PathBuf,
    /// The boot that it lies below.
    pub boot: String,
}

/// A journal that is being read.
#[derive(Debug)]
pub struct OpenJournal {
    /// Its records.
    pub reader: Reader<BufReader<fs::File>>,
    /// Whether its writer is alive.
    pub running: bool,
    /// Bytes that it had, at least, when it was opened.
    pub length: u64,
}

/// A journal that cannot be counted, or a directory of them that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}")]
pub struct ReadError {
    /// The file or directory.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub source: JournalError,
}

impl Directory {
    /// The journals of what keeps its state below `state`.
    #[must_use]
    pub fn below(state: &Path) -> Self {
        Self {
            root: state.join("usage"),
        }
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where the journal of a sandbox is that begins at this time of the monotonic clock. No two
    /// are at one place.
    #[must_use]
    pub fn place(&self, boot: &str, namespace: &str, sandbox: &str, monotonic_ns: u64) -> PathBuf {
        let name = format!("{sandbox}-{monotonic_ns}{SUFFIX}");
        self.root.join(boot).join(namespace).join(name)
    }

    /// All journals, by boot, namespace and name.
    ///
    /// # Errors
    /// If a directory cannot be read.
    pub fn all(&self) -> Result<Vec<JournalFile>, ReadError> {
        let mut all = Vec::new();
        for boot in names(&self.root)? {
            let below = self.root.join(&boot);
            for namespace in names(&below)? {
                all.extend(journals(&below.join(namespace), &boot)?);
            }
        }
        Ok(all)
    }

    /// The journals of one sandbox.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn of_sandbox(
        &self,
        boot: &str,
        namespace: &str,
        sandbox: &str,
    ) -> Result<Vec<JournalFile>, ReadError> {
        let below = self.root.join(boot).join(namespace);
        let mut journals = journals(&below, boot)?;
        let prefix = format!("{sandbox}-");
        journals.retain(|journal| {
            let name = journal.path.file_name().unwrap_or_default();
            let rest = name.to_str().and_then(|name| name.strip_prefix(&prefix));
            // An id may begin with another and a hyphen.
            rest.is_some_and(|rest| !rest.trim_end_matches(SUFFIX).contains('-'))
        });
        Ok(journals)
    }
}

impl JournalFile {
    /// What was used within the window; `None` if the Pod never began.
    ///
    /// # Errors
    /// If it cannot be read, or something is wrong with it: then nothing of it counts.
    pub fn fold(&self, window: Window) -> Result<Option<PodUse>, ReadError> {
        match self.try_fold(window) {
            Ok(found) => Ok(Some(found)),
            Err(JournalError::Empty) => Ok(None),
            Err(source) => Err(ReadError {
                path: self.path.clone(),
                source,
            }),
        }
    }

    fn try_fold(&self, window: Window) -> Result<PodUse, JournalError> {
        let OpenJournal {
            reader, running, ..
        } = self.open()?;
        fold(reader, window, running)
    }

    /// Opens it, and reads its beginning.
    ///
    /// # Errors
    /// If it cannot be read, is no journal, or another boot's.
    pub fn open(&self) -> Result<OpenJournal, JournalError> {
        let file = fs::File::open(&self.path)?;
        // Before it is read: what is written from now on may be in it or not.
        let running = match file.try_lock_shared() {
            Ok(()) => {
                file.unlock()?;
                false
            }
            Err(fs::TryLockError::WouldBlock) => true,
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
        };
        let length = file.metadata()?.len();
        let reader = Reader::new(BufReader::new(file))?;
        if reader.opening().boot != self.boot {
            return Err(JournalError::OtherBoot {
                expected: self.boot.clone(),
                found: reader.opening().boot.clone(),
            });
        }
        Ok(OpenJournal {
            reader,
            running,
            length,
        })
    }
}

fn journals(directory: &Path, boot: &str) -> Result<Vec<JournalFile>, ReadError> {
    let mut names = names(directory)?;
    names.retain(|name| name.ends_with(SUFFIX));
    let file = |name: String| JournalFile {
        path: directory.join(name),
        boot: boot.to_owned(),
    };
    Ok(names.into_iter().map(file).collect())
}

/// Names in a directory, in their order; none if it is not there, or no directory.
fn names(directory: &Path) -> Result<Vec<String>, ReadError> {
    let read = || {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            // What is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    };
    use io::ErrorKind::{NotADirectory, NotFound};
    match read() {
        Err(error) if matches!(io::Error::kind(&error), NotFound | NotADirectory) => Ok(Vec::new()),
        read => read.map_err(|error| ReadError {
            path: directory.to_owned(),
            source: error.into(),
        }),
    }
}
