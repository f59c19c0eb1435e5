//! Finds the executable of a process as `execvp(3)` would, and says what is wrong with it.
//!
//! It runs inside the container, as the container's user, just before the process starts.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fstat, open};

use crate::failure::{Failure, Kind};

/// What `execvp(3)` uses when there is no `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// What is wrong with an executable, as far as it can be known before it is run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LookupError {
    /// No file of that name in any directory of `PATH`, or not at the path given.
    #[error("executable `{0}` not found in the image's PATH")]
    NotFound(String),
    /// A path was given and nothing is there.
    #[error("executable `{0}` not found in the image")]
    NoSuchFile(String),
    /// It is a directory, or the user may not execute it.
    #[error("`{0}` is not executable")]
    NotExecutable(String),
    /// An ELF file for another machine, or the other word size.
    #[error("cannot run `{0}`: exec format error: built for another architecture")]
    OtherArchitecture(String),
    /// Neither an ELF file nor a script with an interpreter line.
    #[error("cannot run `{0}`: exec format error: neither a program nor a script")]
    NotAProgram(String),
    /// The program is there, the interpreter or loader that it names is not.
    #[error("cannot run `{0}`: the interpreter it names is not in the image")]
    NoInterpreter(String),
    /// The command is empty.
    #[error("no command given")]
    Empty,
    /// Anything else that `execve(2)` said.
    #[error("cannot run `{0}`: {1}")]
    Other(String, String),
}

impl From<LookupError> for Failure {
    fn from(error: LookupError) -> Self {
        let kind = match &error {
            LookupError::NotFound(_)
            | LookupError::NoSuchFile(_)
            | LookupError::NoInterpreter(_) => Kind::NotFound,
            LookupError::NotExecutable(_) => Kind::PermissionDenied,
            LookupError::OtherArchitecture(_) | LookupError::NotAProgram(_) => {
                Kind::FailedPrecondition
            }
            LookupError::Empty => Kind::InvalidArgument,
            LookupError::Other(..) => Kind::Internal,
        };
        Self::of(kind, &error)
    }
}

/// Finds `name` in `path`, a list as in the environment variable `PATH`; a name with a slash is
/// taken as it is. The file found may be executed by this process.
pub(crate) fn find(name: &str, path: Option<&str>) -> Result<PathBuf, LookupError> {
    if name.is_empty() {
        return Err(LookupError::Empty);
    }
    if name.contains('/') {
        let file = PathBuf::from(name);
        return match check(&file, name) {
            Ok(true) => Ok(file),
            Ok(false) => Err(LookupError::NoSuchFile(name.to_owned())),
            Err(error) => Err(error),
        };
    }
    let mut seen = None;
    for directory in path.unwrap_or(DEFAULT_PATH).split(':') {
        // An empty entry is the working directory.
        let directory = if directory.is_empty() { "." } else { directory };
        let file = Path::new(directory).join(name);
        match check(&file, name) {
            Ok(true) => return Ok(file),
            Ok(false) => {}
            Err(error) => seen = seen.or(Some(error)),
        }
    }
    Err(seen.unwrap_or_else(|| LookupError::NotFound(name.to_owned())))
}

/// Whether there is such a file; an error if there is one that cannot be run.
fn check(file: &Path, name: &str) -> Result<bool, LookupError> {
    // NONBLOCK: a FIFO in the image must not hold the agent up.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    if let Err(error) = accessat(CWD, file, Access::EXISTS, AtFlags::EACCESS) {
        return match error {
            rustix::io::Errno::ACCESS => Err(LookupError::NotExecutable(name.to_owned())),
            _ => Ok(false),
        };
    }
    if accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS).is_err() {
        return Err(LookupError::NotExecutable(name.to_owned()));
    }
    let stat = rustix::fs::stat(file);
    if !stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile) {
        return Err(LookupError::NotExecutable(name.to_owned()));
    }
    // A program may be executable and not readable; then the kernel has the last word.
    let Ok(fd) = open(file, flags, Mode::empty()) else {
        return Ok(true);
    };
    if !fstat(&fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    {
        return Err(LookupError::NotExecutable(name.to_owned()));
    }
    let mut head = [0; 20];
    let mut length = 0;
    let mut file = File::from(fd);
    while length < head.len() {
        match file.read(&mut head[length..]) {
            Ok(0) | Err(_) => break,
            Ok(count) => length += count,
        }
    }
    check_head(&head[..length], name).map(|()| true)
}

/// Looks at the first bytes of a program: ELF's `e_ident`, `e_type` and `e_machine`, or `#!`.
fn check_head(head: &[u8], name: &str) -> Result<(), LookupError> {
    if head.starts_with(b"#!") {
        return Ok(());
    }
    if !head.starts_with(b"\x7fELF") || head.len() < 20 {
        return Err(LookupError::NotAProgram(name.to_owned()));
    }
    let machine = match head[5] {
        1 => u16::from_le_bytes([head[18], head[19]]),
        _ => u16::from_be_bytes([head[18], head[19]]),
    };
    let native: &[u16] = if cfg!(target_arch = "aarch64") {
        &[libc::EM_AARCH64]
    } else {
        // The guest's kernel runs programs of 32 bits as well.
        &[libc::EM_X86_64, libc::EM_386]
    };
    if !native.contains(&machine) {
        return Err(LookupError::OtherArchitecture(name.to_owned()));
    }
    Ok(())
}

/// Becomes the program; returns only if that fails.
pub(crate) fn execute(
    file: &Path,
    arguments: &[String],
    environment: &[String],
) -> Result<Infallible, LookupError> {
    let name = arguments.first().map(String::as_str).unwrap_or_default();
    let wrong = || LookupError::Other(name.to_owned(), "a NUL byte in an argument".to_owned());
    let strings = |list: &[String]| -> Result<Vec<CString>, LookupError> {
        list.iter()
            .map(|text| CString::new(text.as_bytes()).map_err(|_| wrong()))
            .collect()
    };
    let path = CString::new(file.as_os_str().as_bytes()).map_err(|_| wrong())?;
    let (arguments_c, environment_c) = (strings(arguments)?, strings(environment)?);
    use nix::errno::Errno;
    nix::unistd::execve(&path, &arguments_c, &environment_c).map_err(|error| match error {
        // It was there when we looked, so it is what it names that is missing.
        Errno::ENOENT => LookupError::NoInterpreter(name.to_owned()),
        Errno::EACCES | Errno::EPERM => LookupError::NotExecutable(name.to_owned()),
        Errno::ENOEXEC => LookupError::NotAProgram(name.to_owned()),
        other => LookupError::Other(name.to_owned(), other.desc().to_owned()),
    })
}

#[cfg(test)]
#[path = "lookup_test.rs"]
mod tests;
