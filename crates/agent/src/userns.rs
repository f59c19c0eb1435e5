//! A user namespace to map a file system's owners by: the images' root is the container's root.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use oci_spec::runtime::{LinuxIdMapping, LinuxNamespaceType, Spec};

use crate::sys;

/// The hidden subcommand of the process that holds the namespace for a moment.
pub(crate) const SUBCOMMAND: &str = "hold";

/// The namespace that a container's files are to be mapped by; none if it has none of its own.
pub(crate) fn of(spec: &Spec) -> io::Result<Option<OwnedFd>> {
    let Some(linux) = spec.linux() else {
        return Ok(None);
    };
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    let own = namespaces
        .iter()
        .any(|namespace| namespace.typ() == LinuxNamespaceType::User);
    let uids = linux.uid_mappings().as_deref().unwrap_or_default();
    let gids = linux.gid_mappings().as_deref().unwrap_or_default();
    if !own || uids.is_empty() || gids.is_empty() {
        return Ok(None);
    }
    make(uids, gids).map(Some)
}

fn make(uids: &[LinuxIdMapping], gids: &[LinuxIdMapping]) -> io::Result<OwnedFd> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg(SUBCOMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    sys::before_exec(&mut command, || Ok(unshare(CloneFlags::CLONE_NEWUSER)?));
    let mut child = command.spawn()?;
    let proc = format!("/proc/{}", child.id());
    let open = || -> io::Result<File> {
        fs::write(format!("{proc}/uid_map"), lines(uids))?;
        fs::write(format!("{proc}/gid_map"), lines(gids))?;
        File::open(format!("{proc}/ns/user"))
    };
    let namespace = open();
    drop(child.stdin.take());
    child.wait()?;
    Ok(namespace?.into())
}

fn lines(mappings: &[LinuxIdMapping]) -> String {
    mappings
        .iter()
        .map(|mapping| {
            let (inner, outer) = (mapping.container_id(), mapping.host_id());
            format!("{inner} {outer} {}\n", mapping.size())
        })
        .collect()
}

/// What the process that holds the namespace does: waits for the end of its standard input.
pub(crate) fn hold() -> io::Result<()> {
    io::stdin().read_to_end(&mut Vec::new()).map(drop)
}
