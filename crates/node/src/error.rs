//! What goes wrong with a file, in one form for all that this crate does with files.

use std::io;
use std::path::{Path, PathBuf};

/// A file or directory of the node.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}")]
pub struct FileError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    /// To put around an `io::Error`.
    pub(crate) fn about(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self {
            action,
            path,
            source,
        }
    }
}
