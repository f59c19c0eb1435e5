//! The command line of QEMU, and that of the guest's kernel.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::Path;

use serde_json::{Value, json};

use crate::tsc;
use crate::{Accelerator, Disk, VmConfig};

/// The device that memory is plugged in by.
pub(crate) const MORE_MEMORY: &str = "more";

/// How much translated code an emulator keeps, in MiB. It would keep 1 GiB, which a Pod that runs
/// many programs fills, and the Pod's cgroup does not hold ([`Accelerator::overhead_mib`]).
const TRANSLATED_MIB: u32 = 128;

/// The numbers of the descriptors that QEMU inherits.
#[derive(Debug, Clone)]
pub(crate) struct Inherited {
    /// The control connection (QMP).
    pub(crate) control: RawFd,
    /// The guest's console.
    pub(crate) console: RawFd,
    /// The vhost-user backend of the vsock device.
    pub(crate) vsock: Option<RawFd>,
    /// The tap devices, in the order of the configuration.
    pub(crate) taps: Vec<RawFd>,
}

/// The kernel's command line.
///
/// What is for every machine: few messages, a panic ends the VM at once, and grace periods of RCU
/// are short, since mounts, namespaces and device filters of containers wait for them.
///
/// Under emulation, nothing is found out that is known: the timer works, the time stamp counter is
/// the host's, and patching code for one processor or around hardware bugs costs more than it can
/// give (the bugs are not emulated). `acpi=noirq` spares the kernel the tables that say where
/// a PCI device's interrupt pin leads: reading them is a program of some thousand steps for each
/// device (80 ms), and virtio devices use messages instead. One processor takes its ticks from the
/// HPET, since measuring the local timer's rate takes 100 ms.
pub(crate) fn kernel(config: &VmConfig, tsc_khz: Option<u64>) -> String {
    let mut words = vec!["console=ttyS0", "quiet", "panic=-1", "reboot=k"];
    words.push("rcupdate.rcu_expedited=1");
    if config.accelerator == Accelerator::Emulation {
        words.extend([
            "noreplace-smp",
            "no_timer_check",
            "tsc=reliable",
            "mitigations=off",
        ]);
        words.push("acpi=noirq");
        if config.vcpus == 1 {
            words.push("nolapic_timer");
        }
    }
    let rate = tsc_khz.map(|rate| format!("tsc_early_khz={rate}"));
    if config.accelerator == Accelerator::Emulation {
        words.extend(rate.as_deref());
    }
    words.extend(config.cmdline.iter().map(String::as_str));
    words.join(" ")
}

/// The arguments of QEMU.
pub(crate) fn qemu(config: &VmConfig, fds: &Inherited, disks: &[DiskNode]) -> Vec<OsString> {
    let mut args = Arguments(Vec::new());
    let name = format!("{},process=skete-{}", config.id, config.id);
    args.pair("-name", name);
    for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        args.0.push(flag.into());
    }
    args.pair("-display", "none");
    args.pair(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    );
    // What is not needed of a PC: a USB controller, VMware's port, system management mode. Its
    // memory stays out of core dumps.
    args.pair(
        "-machine",
        "pc,usb=off,vmport=off,smm=off,dump-guest-core=off,memory-backend=memory",
    );
    // A firmware that only starts the kernel.
    args.pair("-bios", "qboot.rom");
    match config.accelerator {
        Accelerator::Kvm => {
            args.pair("-accel", "kvm");
            args.pair("-cpu", "host");
        }
        Accelerator::Emulation => {
            args.pair(
                "-accel",
                format!("tcg,thread=multi,tb-size={TRANSLATED_MIB}"),
            );
            args.pair("-cpu", "max");
        }
    }
    args.pair("-smp", config.vcpus.to_string());
    let more_mib = config.more_memory_mib();
    let size = config.memory_mib;
    args.pair(
        "-m",
        match more_mib {
            0 => format!("{size}M"),
            _ => format!("size={size}M,maxmem={}M", size + more_mib),
        },
    );
    // Shared, because a vhost-user backend maps it too.
    args.json(
        "-object",
        &json!({
            "qom-type": "memory-backend-memfd",
            "id": "memory",
            "size": config.memory_mib << 20,
            "share": true,
            "dump": false,
        }),
    );
    if more_mib > 0 {
        // Nothing of it is taken before it is plugged in.
        args.json(
            "-object",
            &json!({
                "qom-type": "memory-backend-memfd",
                "id": "more-memory",
                "size": more_mib << 20,
                "share": true,
                "reserve": false,
                "dump": false,
            }),
        );
        args.device(&json!({
            "driver": "virtio-mem-pci",
            "id": MORE_MEMORY,
            "memdev": "more-memory",
            "requested-size": 0,
        }));
    }
    args.pair("-kernel", &config.kernel);
    args.pair("-initrd", &config.initramfs);
    args.pair("-append", kernel(config, tsc::kilohertz()));

    args.pair("-chardev", format!("socket,id=control,fd={}", fds.control));
    args.pair("-mon", "chardev=control,mode=control");
    args.pair("-chardev", format!("socket,id=console,fd={}", fds.console));
    args.pair("-serial", "chardev:console");

    args.device(&json!({ "driver": "pvpanic" }));
    args.pair("-object", "rng-builtin,id=random");
    args.device(&json!({ "driver": "virtio-rng-pci", "rng": "random" }));
    args.device(&json!({
        "driver": "virtio-balloon-pci",
        "free-page-reporting": true,
        "deflate-on-oom": true,
    }));
    if let Some(fd) = fds.vsock {
        args.pair("-chardev", format!("socket,id=vsock,fd={fd}"));
        args.device(&json!({ "driver": "vhost-user-vsock-pci", "chardev": "vsock" }));
    }
    for (index, (tap, fd)) in config.taps.iter().zip(&fds.taps).enumerate() {
        let id = format!("net{index}");
        args.pair("-netdev", format!("tap,id={id},fd={fd},vhost=off"));
        let [a, b, c, d, e, f] = tap.mac;
        args.device(&json!({
            "driver": "virtio-net-pci",
            "netdev": id,
            "mac": format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
            // No option ROM: nothing is started from the network.
            "romfile": "",
        }));
    }
    for disk in disks {
        args.json("-blockdev", &disk.blockdev());
        args.device(&disk.device());
    }
    args.0
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn pair(&mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) {
        self.0.push(name.into());
        self.0.push(value.as_ref().to_owned());
    }

    fn json(&mut self, name: &str, value: &Value) {
        self.pair(name, value.to_string());
    }

    fn device(&mut self, value: &Value) {
        self.json("-device", value);
    }
}

/// A disk as QEMU sees it: a block node and a device, both named after the serial.
#[derive(Debug)]
pub(crate) struct DiskNode {
    /// The name of the node and of the device. A serial has at most 20 characters, a node's name
    /// at most 31.
    pub(crate) name: String,
    serial: String,
    read_only: bool,
    ephemeral: bool,
    format: &'static str,
    protocol: &'static str,
    file: String,
}

impl DiskNode {
    /// The node of a checked disk. `descriptor` is where its VMDK descriptor is, if it needs one.
    pub(crate) fn new(disk: &Disk, descriptor: Option<&Path>) -> DiskNode {
        let first = disk.extents.first().map(|extent| extent.file.as_path());
        let file = descriptor.or(first).unwrap_or(Path::new(""));
        let is_device = std::fs::metadata(file)
            .is_ok_and(|m| std::os::unix::fs::FileTypeExt::is_block_device(&m.file_type()));
        DiskNode {
            name: format!("disk-{}", disk.serial),
            serial: disk.serial.clone(),
            read_only: disk.read_only,
            ephemeral: disk.ephemeral,
            format: if descriptor.is_some() { "vmdk" } else { "raw" },
            protocol: if is_device { "host_device" } else { "file" },
            // `Disk::check` has seen that paths are UTF-8.
            file: file.to_string_lossy().into_owned(),
        }
    }

    /// The argument of `blockdev-add`.
    pub(crate) fn blockdev(&self) -> Value {
        json!({
            "driver": self.format,
            "node-name": self.name,
            "read-only": self.read_only,
            "discard": "unmap",
            "cache": { "no-flush": self.ephemeral },
            "file": { "driver": self.protocol, "filename": self.file },
        })
    }

    /// The argument of `device_add`. A full disk of the host is an error for the guest to handle;
    /// QEMU would stop the VM instead.
    pub(crate) fn device(&self) -> Value {
        json!({
            "driver": "virtio-blk-pci",
            "id": self.name,
            "drive": self.name,
            "serial": self.serial,
            "werror": "report",
            "rerror": "report",
        })
    }
}

#[cfg(test)]
#[path = "command_test.rs"]
mod tests;
