//! The command line.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;

const HELP: &str = "\
Offers a virtio socket device to a monitor, by vhost-user, and ends with it.

Usage: skete-vsock (--socket PATH | --socket-fd N) --uds-path PATH [OPTIONS]

  --socket PATH     Listen there for the monitor's vhost-user connection
  --socket-fd N     Use this inherited listening socket for it
  --uds-path PATH   Listen there for host programs, which say CONNECT <port>; connections
                    of the guest to port P of the host go to PATH_P
  --uds-fd N        Use this inherited listening socket for host programs
  --guest-cid N     The guest's CID, from 3 to 4294967294 [default: 3]
  --parent PID      End at once if this is not the parent process
  -h, --help        Print this
  -V, --version     Print the version

It is killed when the thread that started it ends.
";

/// Where to listen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Path(PathBuf),
    Fd(RawFd),
}

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) vhost: Listen,
    pub(crate) host: Listen,
    pub(crate) uds_path: PathBuf,
    pub(crate) guest_cid: u64,
    pub(crate) parent: Option<i32>,
}

/// A command line that could be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Run(Args),
    Print(String),
}

/// A command line that could not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("unknown argument {0:?}; see --help")]
    Unknown(OsString),
    #[error("{0} is given twice")]
    Twice(&'static str),
    #[error("{0} needs a value")]
    NoValue(&'static str),
    #[error("{option} {value:?}: not a number from {least} to {most}")]
    Number {
        option: &'static str,
        value: OsString,
        least: i64,
        most: i64,
    },
    #[error("{0} is missing; see --help")]
    Missing(&'static str),
    #[error("--socket and --socket-fd exclude each other")]
    TwoSockets,
    #[error("--socket-fd and --uds-fd are the same")]
    SameFd,
}

const OPTIONS: [&str; 6] = [
    "--socket",
    "--socket-fd",
    "--uds-path",
    "--uds-fd",
    "--guest-cid",
    "--parent",
];

impl Args {
    /// Reads the arguments behind the program's name.
    pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Parsed, Error> {
        let mut values: [Option<OsString>; OPTIONS.len()] = Default::default();
        let mut args = args;
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("-h" | "--help") => return Ok(Parsed::Print(HELP.to_owned())),
                Some("-V" | "--version") => {
                    return Ok(Parsed::Print(format!(
                        "skete-vsock {}\n",
                        env!("CARGO_PKG_VERSION")
                    )));
                }
                _ => {}
            }
            let Some(index) = OPTIONS.iter().position(|&option| arg == option) else {
                return Err(Error::Unknown(arg));
            };
            let value = args.next().ok_or(Error::NoValue(OPTIONS[index]))?;
            if values[index].replace(value).is_some() {
                return Err(Error::Twice(OPTIONS[index]));
            }
        }
        let [socket, socket_fd, uds_path, uds_fd, guest_cid, parent] = values;
        let fd = |option, value| number(option, value, 3, i64::from(i32::MAX));
        let vhost = match (socket, socket_fd) {
            (Some(path), None) => Listen::Path(path.into()),
            (None, Some(value)) => Listen::Fd(fd("--socket-fd", value)? as RawFd),
            (Some(_), Some(_)) => return Err(Error::TwoSockets),
            (None, None) => return Err(Error::Missing("--socket or --socket-fd")),
        };
        let uds_path = PathBuf::from(uds_path.ok_or(Error::Missing("--uds-path"))?);
        let host = match uds_fd {
            Some(value) => Listen::Fd(fd("--uds-fd", value)? as RawFd),
            None => Listen::Path(uds_path.clone()),
        };
        if vhost == host && matches!(host, Listen::Fd(_)) {
            return Err(Error::SameFd);
        }
        let guest_cid = match guest_cid {
            Some(value) => number("--guest-cid", value, 3, i64::from(u32::MAX - 1))? as u64,
            None => 3,
        };
        let parent = match parent {
            Some(value) => Some(number("--parent", value, 1, i64::from(i32::MAX))? as i32),
            None => None,
        };
        Ok(Parsed::Run(Self {
            vhost,
            host,
            uds_path,
            guest_cid,
            parent,
        }))
    }
}

fn number(option: &'static str, value: OsString, least: i64, most: i64) -> Result<i64, Error> {
    match value.to_str().map(str::parse::<i64>) {
        Some(Ok(number)) if (least..=most).contains(&number) => Ok(number),
        _ => Err(Error::Number {
            option,
            value,
            least,
            most,
        }),
    }
}

#[cfg(test)]
#[path = "args_test.rs"]
mod tests;
