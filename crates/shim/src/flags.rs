//! The command line that containerd gives a shim, of all versions of its bootstrap protocol:
//! Go's flags (`-id x`, `-id=x`, with one dash or two), and an action after them.

use std::ffi::OsString;

/// What the command line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `start`, `delete`, or nothing for the daemon.
    pub action: String,
    /// containerd's namespace.
    pub namespace: String,
    /// The sandbox's id.
    pub id: String,
    /// containerd's own socket. Together with namespace and id it names the shim's.
    pub address: String,
    /// Where the daemon listens.
    pub socket: String,
    /// Log more.
    pub debug: bool,
    /// Describe the runtime, and end.
    pub info: bool,
    /// Say the version, and end.
    pub version: bool,
}

/// A command line that containerd would not write.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagsError {
    /// A flag that no containerd gives.
    #[error("unknown flag {0}: this program is started by containerd or skete")]
    Unknown(String),
    /// A flag without what belongs to it.
    #[error("the flag {0} wants a value")]
    NoValue(String),
    /// Something after the action.
    #[error("{0:?} after the action")]
    TooMany(String),
    /// Bytes that are no text.
    #[error("{0:?} is not UTF-8")]
    NotText(OsString),
}

impl Flags {
    /// Reads the arguments, without the program's own name.
    ///
    /// # Errors
    /// The first argument that cannot be read.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, FlagsError> {
        let mut flags = Self::default();
        let mut arguments = arguments
            .into_iter()
            .map(|argument| argument.into_string().map_err(FlagsError::NotText));
        while let Some(argument) = arguments.next().transpose()? {
            let Some(flag) = argument.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
                flags.action = argument;
                break;
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let mut ignored = String::new();
            let text = match name {
                "debug" | "info" | "v" | "version" => {
                    let set = value.is_none_or(|value| value == "true");
                    match name {
                        "debug" => flags.debug = set,
                        "info" => flags.info = set,
                        _ => flags.version = set,
                    }
                    continue;
                }
                "namespace" => &mut flags.namespace,
                "id" => &mut flags.id,
                "address" => &mut flags.address,
                "socket" => &mut flags.socket,
                // The directory the shim is in, and a program to publish events with: ttrpc does.
                "bundle" | "publish-binary" => &mut ignored,
                _ => return Err(FlagsError::Unknown(argument)),
            };
            *text = match value {
                Some(value) => value,
                None => match arguments.next().transpose()? {
                    Some(value) => value,
                    None => return Err(FlagsError::NoValue(argument)),
                },
            };
        }
        match arguments.next().transpose()? {
            Some(argument) => Err(FlagsError::TooMany(argument)),
            None => Ok(flags),
        }
    }
}

#[cfg(test)]
#[path = "flags_test.rs"]
mod tests;
