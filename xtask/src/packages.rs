//! Debian's packages that building, running and testing need. What is missing is installed, and
//! said.

use std::process::Command;

use crate::command::{Failure, output, run};

/// To build programs and the guest's kernel.
pub(crate) const BUILD: &[&str] = &[
    "bc",
    "bison",
    "build-essential",
    "cpio",
    "flex",
    "libelf-dev",
    "libseccomp-dev",
    "linux-source-6.12",
    "pkg-config",
    "xz-utils",
];
/// To run Pods.
pub(crate) const RUN: &[&str] = &[
    "containernetworking-plugins",
    "e2fsprogs",
    "iptables",
    "nftables",
    "qemu-system-x86",
];
/// To run a test cluster.
pub(crate) const CLUSTER: &[&str] = &[
    "docker-registry",
    "etcd-server",
    "iproute2",
    "openssl",
    "runc",
    "skopeo",
];
/// To make the images of its Pods.
pub(crate) const IMAGES: &[&str] = &[
    "bash",
    "bind9-dnsutils",
    "curl",
    "dpkg-dev",
    "iperf",
    "iproute2",
    "netcat-openbsd",
    "postgresql-15",
    "util-linux",
];
/// To make the image of the examples.
pub(crate) const EXAMPLES: &[&str] = &["busybox-static"];
/// To measure.
pub(crate) const BENCH: &[&str] = &["busybox-static", "procps", "python3", "runc", "runsc"];
/// To test.
pub(crate) const TEST: &[&str] = &[
    "attr",
    "busybox-static",
    "docker-registry",
    "e2fsprogs",
    "erofs-utils",
    "iproute2",
    "iputils-ping",
    "libcap2-bin",
    "nftables",
    "openssl",
    "procps",
    "python3",
    "skopeo",
    "socat",
    "tar",
    "umoci",
    "zstd",
];

/// Installs those of the packages that are missing.
pub(crate) fn ensure(packages: &[&[&str]]) -> Result<(), Failure> {
    let missing: Vec<&str> = packages
        .iter()
        .flat_map(|list| list.iter().copied())
        .filter(|p| !installed(p))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if output(Command::new("id").arg("-u"))
        .as_deref()
        .map(str::trim)
        != Some("0")
    {
        return Err(Failure::new(format!(
            "as root: apt-get install {}",
            missing.join(" ")
        )));
    }
    eprintln!("xtask: installing {}", missing.join(" "));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(arguments);
        command
    };
    run(&mut apt(&["update", "-qq"]))?;
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    run(apt(&install)
        .args(&missing)
        .stdout(std::process::Stdio::null()))
}

fn installed(package: &str) -> bool {
    let status = output(Command::new("dpkg-query").args(["-W", "-f=${Status}", package]));
    status.is_some_and(|status| status.ends_with(" installed"))
}
