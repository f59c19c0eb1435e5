//! Users by name, as image configurations have them: `USER[:GROUP]`, names or numbers.
//!
//! Looked up in the container's own `/etc/passwd` and `/etc/group`, which are not trusted.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::path::Path;

use oci_spec::runtime::{Process, User, UserBuilder};
use rustix::fs::{FileType, Mode, OFlags, fstat};

use crate::beneath;
use crate::failure::{Failure, Kind};

/// No more of either file is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// A user or group that the image does not have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UserError {
    /// No such line in `/etc/passwd`.
    #[error("user `{0}` not found in the image's /etc/passwd")]
    NoUser(String),
    /// No such line in `/etc/group`.
    #[error("group `{0}` not found in the image's /etc/group")]
    NoGroup(String),
}

impl From<UserError> for Failure {
    fn from(error: UserError) -> Self {
        Self::of(Kind::InvalidArgument, &error)
    }
}

/// Replaces `user.username`, if there is one, by the numbers it stands for.
pub(crate) fn resolve(process: &mut Process, root: BorrowedFd<'_>) -> Result<(), Failure> {
    let Some(name) = process
        .user()
        .username()
        .clone()
        .filter(|name| !name.is_empty())
    else {
        return Ok(());
    };
    let passwd = read(root, "etc/passwd").unwrap_or_default();
    let group = read(root, "etc/group").unwrap_or_default();
    let found = find(&name, &passwd, &group)?;
    let mut gids = process.user().additional_gids().clone().unwrap_or_default();
    for gid in found.groups {
        if !gids.contains(&gid) {
            gids.push(gid);
        }
    }
    let user: Result<User, _> = {
        let mut builder = UserBuilder::default()
            .uid(found.uid)
            .gid(found.gid)
            .additional_gids(gids);
        if let Some(umask) = process.user().umask() {
            builder = builder.umask(umask);
        }
        builder.build()
    };
    process.set_user(user.map_err(|error| Failure::internal(&error))?);
    Ok(())
}

/// The home directory of a user, `/` if the image does not know it.
pub(crate) fn home(root: BorrowedFd<'_>, uid: u32) -> String {
    let passwd = read(root, "etc/passwd").unwrap_or_default();
    let home = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| fields.get(5).map(|home| (*home).to_owned()))?
    });
    home.filter(|home| home.starts_with('/'))
        .unwrap_or_else(|| "/".to_owned())
}

fn read(root: BorrowedFd<'_>, path: &str) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = beneath::open(root, Path::new(path), flags, Mode::empty(), true)?;
    if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    File::from(fd).take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// Numbers need no line; a user by number without one gets group 0, as everywhere.
fn find(name: &str, passwd: &str, group: &str) -> Result<Found, UserError> {
    let (user, wanted_group) = match name.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (name, None),
    };
    let entry = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        let matches = fields[0] == user || user.parse() == Ok(uid);
        matches.then(|| (fields[0].to_owned(), uid, gid))
    });
    let (login, uid, mut gid) = match (entry, user.parse::<u32>()) {
        (Some((login, uid, gid)), _) => (Some(login), uid, gid),
        (None, Ok(uid)) => (None, uid, 0),
        (None, Err(_)) => return Err(UserError::NoUser(user.to_owned())),
    };
    if let Some(wanted) = wanted_group {
        gid = group_by_name(wanted, group).ok_or_else(|| UserError::NoGroup(wanted.to_owned()))?;
        return Ok(Found {
            uid,
            gid,
            groups: Vec::new(),
        });
    }
    let groups = group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let member = fields
            .get(3)?
            .split(',')
            .any(|member| Some(member) == login.as_deref());
        member.then(|| fields[2].parse().ok())?
    });
    Ok(Found {
        uid,
        gid,
        groups: groups.filter(|other| *other != gid).collect(),
    })
}

fn group_by_name(wanted: &str, group: &str) -> Option<u32> {
    let by_name = group.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let gid = fields.get(2)?.parse().ok()?;
        (fields[0] == wanted).then_some(gid)
    });
    by_name.or_else(|| wanted.parse().ok())
}

#[cfg(test)]
#[path = "user_test.rs"]
mod tests;
