//! Rows about the processor and the kernel: what one guest may learn of another.

use std::path::{Path, PathBuf};

use super::Row;

/// The files that the kernel tells of itself in; elsewhere for tests.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        Self::at("/")
    }
}

impl System {
    /// With its files below that directory.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A small file without its last newline; `None` if there is none.
    pub fn read(&self, path: &str) -> Option<String> {
        let path = self.path(path);
        let bytes = crate::files::read_bounded(&path, 1 << 20).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// Where a file is.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Names in a directory.
    pub fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(path)) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }
}

/// All of them.
pub fn all(system: &System) -> Vec<Row> {
    vec![
        smt(system),
        vulnerabilities(system),
        mitigations(system),
        l1tf(system),
        nested_paging(system),
        nested(system),
        ksm(system),
        swap(system),
    ]
}

fn smt(system: &System) -> Row {
    let row = Row::new(
        "smt",
        "two threads of one core share its caches, and so can two tenants",
    );
    match system.read("/sys/devices/system/cpu/smt/active").as_deref() {
        Some("0") => row.pass("off"),
        Some("1") => row.warn(
            "on",
            "boot with nosmt, or: echo off > /sys/devices/system/cpu/smt/control",
        ),
        Some(other) => row.warn(other.to_owned(), "boot with nosmt"),
        None => row.pass("the kernel does not say: there is none"),
    }
}

fn vulnerabilities(system: &System) -> Row {
    let row = Row::new(
        "cpu vulnerabilities",
        "a guest could read what is not its own",
    );
    let directory = "/sys/devices/system/cpu/vulnerabilities";
    let vulnerable: Vec<String> = system
        .names(directory)
        .into_iter()
        .filter(|name| {
            let text = system.read(&format!("{directory}/{name}"));
            text.is_some_and(|text| text.starts_with("Vulnerable"))
        })
        .collect();
    if !system.path(directory).exists() {
        return row.warn(
            "the kernel does not say",
            "use a kernel of 4.15 or later, with sysfs mounted",
        );
    }
    if vulnerable.is_empty() {
        row.pass("none is open")
    } else {
        row.warn(
            format!("open: {}", vulnerable.join(", ")),
            "install the processor's newest microcode (intel-microcode, amd64-microcode) and \
             kernel, and reboot",
        )
    }
}

fn mitigations(system: &System) -> Row {
    let row = Row::new(
        "mitigations",
        "mitigations=off opens every hole of the processor at once",
    );
    let line = system.read("/proc/cmdline").unwrap_or_default();
    let off = [
        "mitigations=off",
        "nospectre_v1",
        "nospectre_v2",
        "nopti",
        "pti=off",
        "mds=off",
        "l1tf=off",
        "spectre_v2=off",
    ];
    let found: Vec<&str> = line
        .split_whitespace()
        .filter(|word| off.contains(word))
        .collect();
    if found.is_empty() {
        row.pass("on")
    } else {
        row.fail(
            found.join(" "),
            "take that out of the kernel's command line, and reboot",
        )
    }
}

fn l1tf(system: &System) -> Row {
    let row = Row::new(
        "l1tf",
        "a guest could read what is in the first-level cache",
    );
    let text = system.read("/sys/devices/system/cpu/vulnerabilities/l1tf");
    match text.as_deref() {
        None => row.pass("the kernel does not say"),
        Some(text) if text.starts_with("Not affected") => row.pass("not affected"),
        Some(text) if text.contains("cache flushes") && !text.contains("SMT vulnerable") => {
            row.pass(text.to_owned())
        }
        Some(text) => row.warn(
            text.to_owned(),
            "load kvm_intel with vmentry_l1d_flush=always, and switch SMT off",
        ),
    }
}

fn nested_paging(system: &System) -> Row {
    let row = Row::new(
        "ept/npt",
        "without it the host's kernel keeps the guest's page tables: slow, and a larger wall",
    );
    let ept = system.read("/sys/module/kvm_intel/parameters/ept");
    let npt = system.read("/sys/module/kvm_amd/parameters/npt");
    match ept.or(npt).as_deref() {
        Some("Y" | "1") => row.pass("on"),
        Some(_) => row.fail("off", "load kvm_intel with ept=1, or kvm_amd with npt=1"),
        None => row.pass("KVM's modules are not loaded"),
    }
}

fn nested(system: &System) -> Row {
    let row = Row::new(
        "nested",
        "a guest that may run guests reaches more of the host's kernel",
    );
    let intel = system.read("/sys/module/kvm_intel/parameters/nested");
    let amd = system.read("/sys/module/kvm_amd/parameters/nested");
    match intel.or(amd).as_deref() {
        Some("Y" | "1") => row.warn(
            "on",
            "unless you sell it, load kvm_intel or kvm_amd with nested=0",
        ),
        Some(_) => row.pass("off"),
        None => row.pass("KVM's modules are not loaded"),
    }
}

fn ksm(system: &System) -> Row {
    let row = Row::new(
        "ksm",
        "merged pages tell one guest what is in another's memory",
    );
    match system.read("/sys/kernel/mm/ksm/run").as_deref() {
        Some("0") | None => row.pass("off"),
        Some(run) => row.fail(
            format!("run={run}"),
            "echo 2 > /sys/kernel/mm/ksm/run, and switch off what sets it",
        ),
    }
}

fn swap(system: &System) -> Row {
    let row = Row::new(
        "swap",
        "a guest's memory would be on the disk, readable after the guest is gone",
    );
    let swaps = system.read("/proc/swaps").unwrap_or_default();
    let open: Vec<String> = swaps
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .filter(|device| !is_sealed(system, device))
        .map(str::to_owned)
        .collect();
    if open.is_empty() {
        row.pass("none, or encrypted or in memory")
    } else {
        row.warn(
            format!("not encrypted: {}", open.join(", ")),
            "swapoff it, or set it up as a dm-crypt device with a random key (crypttab(5))",
        )
    }
}

/// A device of dm-crypt, or compressed memory.
fn is_sealed(system: &System, device: &str) -> bool {
    let name = Path::new(device).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    if name.starts_with("zram") {
        return true;
    }
    // `/dev/mapper/NAME` is a link to `/dev/dm-N`.
    let real = std::fs::canonicalize(system.path(device)).ok();
    let real = real.as_deref().and_then(Path::file_name);
    let real = real.map_or_else(|| name.clone(), |name| name.to_string_lossy());
    let uuid = system.read(&format!("/sys/block/{real}/dm/uuid"));
    uuid.is_some_and(|uuid| uuid.starts_with("CRYPT-"))
}
