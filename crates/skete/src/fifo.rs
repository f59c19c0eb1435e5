//! FIFOs between a client of the engine and the shim, as containerd has them.
//!
//! Never through `tokio::fs`: a read that blocks on a thread of its pool keeps the runtime from
//! ending.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::net::unix::pipe;

/// Makes a FIFO for this user alone.
///
/// # Errors
/// It cannot be made.
pub fn make(path: &Path) -> io::Result<()> {
    Ok(mknodat(
        CWD,
        path,
        FileType::Fifo,
        Mode::RUSR | Mode::WUSR,
        0,
    )?)
}

/// The reading end of a FIFO.
#[derive(Debug)]
pub struct Reader {
    pipe: pipe::Receiver,
    /// While it is open the FIFO has a writer, so that a read before the shim has opened it, or
    /// between two openings, waits and does not find an end.
    keeper: Option<pipe::Sender>,
}

impl Reader {
    /// Opens the FIFO for reading.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let pipe = pipe::OpenOptions::new().open_receiver(path)?;
        let keeper = pipe::OpenOptions::new().open_sender(path)?;
        Ok(Self {
            pipe,
            keeper: Some(keeper),
        })
    }

    /// The two halves: what is read from, and what keeps the end away.
    pub fn split(self) -> (pipe::Receiver, Option<pipe::Sender>) {
        (self.pipe, self.keeper)
    }
}

/// The three FIFOs of one process.
#[derive(Debug, Clone, Default)]
pub struct Paths {
    /// Its standard input, if it has one.
    pub stdin: Option<PathBuf>,
    /// Its standard output, or its terminal's output.
    pub stdout: PathBuf,
    /// Its standard error, unless it has a terminal.
    pub stderr: Option<PathBuf>,
}

impl Paths {
    /// Makes the FIFOs of a process in a directory.
    ///
    /// # Errors
    /// They cannot be made.
    pub fn make(dir: &Path, stdin: bool, terminal: bool) -> io::Result<Self> {
        let fifo = |name: &str| -> io::Result<PathBuf> {
            let path = dir.join(name);
            make(&path)?;
            Ok(path)
        };
        Ok(Self {
            stdin: if stdin { Some(fifo("stdin")?) } else { None },
            stdout: fifo("stdout")?,
            stderr: if terminal {
                None
            } else {
                Some(fifo("stderr")?)
            },
        })
    }
}

/// Opens a FIFO for writing, whether or not it is open for reading yet.
///
/// # Errors
/// It cannot be opened.
pub fn open_writer(path: &Path) -> io::Result<pipe::Sender> {
    pipe::OpenOptions::new().read_write(true).open_sender(path)
}
