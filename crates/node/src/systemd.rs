//! The node's service manager: containerd's `PATH`, and its restart.
//!
//! containerd finds the converter of layers as `mkfs.erofs` on its `PATH`. A directory that holds
//! nothing else goes first there, for containerd alone.

use std::path::{Path, PathBuf};

use crate::program;

/// containerd's unit.
const UNIT: &str = "containerd.service";
/// Where systemd looks for a service's programs unless told otherwise (`systemd.exec(5)`).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file that changes containerd's `PATH`, below the node's root directory.
pub const DROP_IN: &str = "etc/systemd/system/containerd.service.d/skete.conf";

/// Whether systemd runs the node (`sd_booted(3)`).
#[must_use]
pub fn is_running(root: &Path) -> bool {
    root.join("run/systemd/system").is_dir()
}

/// What the file says so that `directory` comes first.
#[must_use]
pub fn drop_in(directory: &Path, present: Option<&str>) -> String {
    let path = with_first(directory, present.unwrap_or(DEFAULT_PATH));
    // `%` begins a specifier, and quotes hold a value together (`systemd.syntax(7)`).
    let path = path
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%");
    format!(
        "# Made by `skete node install`, and removed by `skete node uninstall`.\n\
         # The directory that comes first holds mkfs.erofs, which converts images' layers.\n\
         [Service]\n\
         Environment=\"PATH={path}\"\n"
    )
}

/// A `PATH` with one directory first, and only there.
fn with_first(directory: &Path, path: &str) -> String {
    let directory = directory.to_string_lossy();
    let rest = path.split(':').filter(|part| **part != *directory);
    let all: Vec<&str> = std::iter::once(&*directory).chain(rest).collect();
    all.join(":")
}

/// The `PATH` that containerd's unit sets, if it sets one.
///
/// # Errors
/// systemd does not answer.
pub fn unit_path() -> Result<Option<String>, program::Error> {
    let text = systemctl(&["show", "--property=Environment", "--value", UNIT])?;
    Ok(path_of_environment(&text))
}

/// The last `PATH=` of what `systemctl show` prints.
fn path_of_environment(text: &str) -> Option<String> {
    let mut found = None;
    for word in text.split_whitespace() {
        if let Some(path) = word.trim_matches('"').strip_prefix("PATH=") {
            found = Some(path.to_owned());
        }
    }
    found
}

/// Has systemd read the units' files again. Whoever restarts containerd later has to find its
/// `PATH` as its configuration wants it.
///
/// # Errors
/// systemd does not answer.
pub fn reload() -> Result<(), program::Error> {
    systemctl(&["daemon-reload"]).map(drop)
}

/// Restarts containerd if it runs. Its containers go on.
///
/// # Errors
/// It does not come back.
pub fn restart() -> Result<(), program::Error> {
    // containerd tells systemd when it is ready, and systemctl waits for that.
    systemctl(&["try-restart", UNIT]).map(drop)
}

fn systemctl(arguments: &[&str]) -> Result<String, program::Error> {
    let program: PathBuf = program::find_own("systemctl")?;
    program::run(&program, arguments)
}

#[cfg(test)]
#[path = "systemd_test.rs"]
mod tests;
