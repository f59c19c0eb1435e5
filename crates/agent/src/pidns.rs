//! The process-id namespace that containers share when their Pod asks for it.
//!
//! Its first process is this program again, with nothing to its name: it reaps orphans.

use std::convert::Infallible;
use std::io;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, chroot, setgroups, setresgid, setresuid};

use crate::boot::RUN;
use crate::failure::{Failure, Kind};

/// The hidden subcommand.
pub(crate) const SUBCOMMAND: &str = "pause";
/// What `pause` containers run as by custom.
const NOBODY: u32 = 65535;

/// Makes the namespace; its first process ends with the guest.
pub(crate) fn make() -> Result<i32, Failure> {
    let made = || -> io::Result<u32> {
        unshare(CloneFlags::CLONE_NEWPID)?;
        let child = Command::new("/proc/self/exe")
            .arg(SUBCOMMAND)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(child.id())
    };
    let pid = made().map_err(|error| {
        Failure::new(
            Kind::Internal,
            format!("cannot make the shared process namespace: {error}"),
        )
    })?;
    i32::try_from(pid).map_err(|error| Failure::internal(&error))
}

/// What the first process of the namespace does.
pub(crate) fn main() -> io::Result<Infallible> {
    // Containers see this process: it has no privilege to take over and no root to look into.
    let empty = format!("{RUN}/empty");
    std::fs::create_dir_all(&empty)?;
    chroot(empty.as_str())?;
    std::env::set_current_dir("/")?;
    setgroups(&[])?;
    setresgid(
        Gid::from_raw(NOBODY),
        Gid::from_raw(NOBODY),
        Gid::from_raw(NOBODY),
    )?;
    setresuid(
        Uid::from_raw(NOBODY),
        Uid::from_raw(NOBODY),
        Uid::from_raw(NOBODY),
    )?;
    let _ = prctl::set_dumpable(false);
    loop {
        // Children come by re-parenting only, so there is nothing to wake up for but a signal.
        match rustix::process::wait(rustix::process::WaitOptions::empty()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => std::thread::sleep(std::time::Duration::from_secs(1)),
        }
    }
}
