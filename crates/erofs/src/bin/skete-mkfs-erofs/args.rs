//! The part of `mkfs.erofs`'s command line that containerd uses for a layer. Whatever asks for more
//! is told apart, never ignored: erofs-utils' own program may be able to do it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Must contain `--tar=`: containerd's differ looks for it to see whether tar streams are taken.
pub(crate) const HELP: &str = "\
Makes an EROFS image of a container layer, as containerd's EROFS differ asks for it.

Usage: mkfs.erofs --tar=f --aufs [OPTIONS] FILE < LAYER.tar

  --tar=f            Read a tar stream from standard input
  --aufs             Turn AUFS whiteouts into those of overlayfs
  -U UUID            The image's UUID; else one that follows from the layer
  -E noinline_data   No file's content among the metadata: always so
  -b 4096            The size of a block: always so
  -T 0 --mkfs-time   A fixed build time: always so
  --sort=none        Keep the stream's order: always so
  --quiet            Say nothing: always so
  -h, --help         Print this
  -V, --version      Print the version

The same layer and UUID give the same bytes. For everything else (a source directory, an index
of a tar, compression, other options) the next mkfs.erofs on PATH is called, if there is one.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Print the help.
    Help,
    /// Print the version.
    Version,
    /// Convert standard input.
    Convert(Convert),
    /// Something that erofs-utils' own program may do; why it is not done here.
    NotOurs(String),
}

/// One conversion.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Convert {
    /// Where the image goes.
    pub(crate) image: PathBuf,
    /// Its UUID.
    pub(crate) uuid: Option<[u8; 16]>,
}

/// Options whose value may be attached (`-b4096`) or be the next argument (`-b 4096`).
const WITH_VALUE: &[u8] = b"bETU";

/// Reads the command line.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Parsed {
    match read(arguments) {
        Ok(parsed) => parsed,
        Err(reason) => Parsed::NotOurs(reason),
    }
}

fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, String> {
    let mut arguments = arguments.into_iter();
    let mut files: Vec<PathBuf> = Vec::new();
    let (mut tar, mut whiteouts) = (false, false);
    let (mut fixed_time, mut build_time_only) = (false, false);
    let mut uuid = None;
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("-h" | "--help") => return Ok(Parsed::Help),
            Some("-V" | "--version") => return Ok(Parsed::Version),
            Some("--tar=f") => tar = true,
            Some("--aufs") => whiteouts = true,
            Some("--mkfs-time") => build_time_only = true,
            Some("--quiet" | "--sort=none") => {}
            Some("--") => files.extend(arguments.by_ref().map(PathBuf::from)),
            _ => match option(&argument) {
                None => files.push(argument.into()),
                Some((letter, attached)) => {
                    let unknown = || format!("it knows no option {}", argument.display());
                    if !WITH_VALUE.contains(&letter) {
                        return Err(unknown());
                    }
                    let value = match attached.is_empty() {
                        false => attached.to_owned(),
                        true => arguments.next().ok_or_else(unknown)?,
                    };
                    let refused = || {
                        format!(
                            "it does not take -{} {}",
                            char::from(letter),
                            value.display()
                        )
                    };
                    match (letter, value.to_str()) {
                        (b'b', Some("4096")) | (b'E', Some("noinline_data")) => {}
                        (b'T', Some("0")) => fixed_time = true,
                        (b'U', Some(text)) => uuid = Some(parse_uuid(text).ok_or_else(refused)?),
                        _ => return Err(refused()),
                    }
                }
            },
        }
    }
    if !tar {
        return Err("it only reads tar streams (--tar=f)".to_owned());
    }
    if !whiteouts {
        return Err("it only makes layers (--aufs)".to_owned());
    }
    if fixed_time != build_time_only {
        return Err(
            "it takes -T 0 only with --mkfs-time, and keeps the files' own times".to_owned(),
        );
    }
    match <[PathBuf; 1]>::try_from(files) {
        Ok([image]) => Ok(Parsed::Convert(Convert { image, uuid })),
        Err(files) => Err(format!("it wants one file, not {}", files.len())),
    }
}

/// The letter of an option, and what is attached to it. `--long` counts as `-` with an attachment,
/// which is unknown as it should be.
fn option(argument: &OsStr) -> Option<(u8, &OsStr)> {
    match argument.as_bytes() {
        [b'-', letter, attached @ ..] => Some((*letter, OsStr::from_bytes(attached))),
        _ => None,
    }
}

/// `8-4-4-4-12` hexadecimal digits (RFC 9562).
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let groups: Vec<&str> = text.split('-').collect();
    if !groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]) {
        return None;
    }
    let digits = groups.concat();
    // Not `+`, which `from_str_radix` would take.
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    Some(u128::from_str_radix(&digits, 16).ok()?.to_be_bytes())
}

#[cfg(test)]
#[path = "args_test.rs"]
mod tests;
