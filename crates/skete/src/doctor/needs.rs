//! Rows about what Skete needs to be there.

use std::path::Path;

use super::Row;
use crate::paths::{Paths, SHIM, find_in_path, guest_file, is_executable, program};

/// Whether this is root.
pub fn root() -> Row {
    let row = Row::new(
        "root",
        "namespaces, taps and cgroups of Pods are made by root",
    );
    if rustix::process::geteuid().is_root() {
        row.pass("yes")
    } else {
        row.fail(
            format!("user {}", rustix::process::geteuid().as_raw()),
            "sudo skete doctor",
        )
    }
}

/// Whether there is a monitor.
pub fn monitor() -> Row {
    tool(
        "qemu",
        "qemu-system-x86_64",
        "it is the guests' monitor",
        "apt install qemu-system-x86",
    )
}

/// All others.
pub fn all(paths: &Paths) -> Vec<Row> {
    let mut rows = vec![
        monitor(),
        own_program("shim", SHIM, "it is the engine of every Pod"),
        own_program(
            "vsock helper",
            "skete-vsock",
            "engine and guest speak through it",
        ),
        guest("guest kernel", "vmlinux"),
        guest("guest image", "initramfs.cpio"),
        tool(
            "mkfs.ext4",
            "mkfs.ext4",
            "scratch disks are formatted with it",
            "apt install e2fsprogs",
        ),
        plugins(),
        tool(
            "nft",
            "nft",
            "it keeps Pods from what they must not reach",
            "apt install nftables",
        ),
        device(
            "tun",
            "/dev/net/tun",
            "a guest's network interface is a tap",
            "modprobe tun",
        ),
    ];
    rows.push(state(paths));
    rows
}

fn tool(check: &'static str, name: &str, why: &'static str, fix: &str) -> Row {
    let row = Row::new(check, why);
    match find_in_path(name) {
        Some(path) => row.pass(path.display().to_string()),
        None => row.fail(format!("{name} is not in PATH"), fix),
    }
}

fn own_program(check: &'static str, name: &str, why: &'static str) -> Row {
    let row = Row::new(check, why);
    let path = program(name);
    if is_executable(&path) {
        row.pass(path.display().to_string())
    } else {
        row.fail(
            format!("{name} is neither beside skete nor in PATH"),
            "cargo xtask install",
        )
    }
}

fn guest(check: &'static str, name: &str) -> Row {
    let row = Row::new(check, "it is what runs in the VM");
    match guest_file(name) {
        Some(path) if path.is_file() => row.pass(path.display().to_string()),
        Some(path) => row.fail(
            format!("{} is not there", path.display()),
            "cargo xtask install",
        ),
        None => row.fail("not found from this program", "cargo xtask install"),
    }
}

fn plugins() -> Row {
    let row = Row::new("cni plugins", "they set up the Pods' networks");
    let directories = skete_network::PodNetworks::PLUGIN_DIRECTORIES;
    let wanted = ["bridge", "host-local", "portmap", "loopback"];
    let missing: Vec<&str> = wanted
        .into_iter()
        .filter(|name| {
            !directories
                .iter()
                .any(|directory| is_executable(&Path::new(directory).join(name)))
        })
        .collect();
    if missing.is_empty() {
        row.pass("bridge, host-local, portmap, loopback")
    } else {
        row.fail(
            format!("missing: {}", missing.join(", ")),
            "apt install containernetworking-plugins",
        )
    }
}

fn device(check: &'static str, path: &str, why: &'static str, fix: &str) -> Row {
    let row = Row::new(check, why);
    match std::fs::File::options().read(true).write(true).open(path) {
        Ok(_) => row.pass(path.to_owned()),
        Err(error) => row.fail(format!("{path}: {error}"), fix),
    }
}

/// Whether every record can be read.
fn state(paths: &Paths) -> Row {
    let row = Row::new("records", "what cannot be read is not listed");
    let ids = crate::pods::ids(paths).unwrap_or_default();
    let bad: Vec<String> = ids
        .iter()
        .filter_map(|id| {
            let error = crate::record::PodRecord::load(paths, id).err()?;
            Some(crate::failure::chain(&error))
        })
        .collect();
    match bad.first() {
        None => row.pass(format!("{} Pods", ids.len())),
        Some(first) => row.warn(
            format!("{} cannot be read: {first}", bad.len()),
            format!("look at them below {}", paths.pods().display()),
        ),
    }
}
