use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::*;
use crate::{Extent, Tap};

fn config(accelerator: Accelerator, vcpus: u32) -> VmConfig {
    VmConfig {
        id: "web-1".to_owned(),
        kernel: PathBuf::from("/guest/vmlinux"),
        initramfs: PathBuf::from("/guest/initramfs.cpio"),
        cmdline: vec!["quiet".to_owned(), "skete.log=debug".to_owned()],
        vcpus,
        memory_mib: 96,
        max_memory_mib: 0,
        taps: Vec::new(),
        vsock: None,
        disks: Vec::new(),
        console: PathBuf::from("/run/web-1/console.log"),
        run_dir: PathBuf::from("/run/web-1"),
        accelerator,
    }
}

#[test]
fn memory_that_may_come_is_not_taken_before() {
    let mut config = config(Accelerator::Emulation, 1);
    assert!(!arguments(&config, &[]).join(" ").contains("virtio-mem"));
    // An odd amount cannot be plugged in.
    config.max_memory_mib = 4097;
    let arguments = arguments(&config, &[]);
    assert_eq!(values(&arguments, "-m"), ["size=96M,maxmem=4096M"]);
    let line = arguments.join(" ");
    assert!(line.contains("virtio-mem-pci") && line.contains("\"reserve\":false"));
}

fn disk(serial: &str, files: &[&str]) -> Disk {
    let extents = files
        .iter()
        .enumerate()
        .map(|(n, file)| Extent {
            file: file.into(),
            offset: n as u64 * 4096,
            length: 4096,
        })
        .collect();
    Disk {
        serial: serial.to_owned(),
        read_only: true,
        ephemeral: false,
        extents,
    }
}

fn arguments(config: &VmConfig, disks: &[DiskNode]) -> Vec<String> {
    let taps = (20..).take(config.taps.len()).collect();
    let fds = Inherited {
        control: 10,
        console: 11,
        vsock: Some(12),
        taps,
    };
    qemu(config, &fds, disks)
        .into_iter()
        .map(|word| word.into_string().unwrap())
        .collect()
}

/// The values that follow this argument.
fn values<'a>(arguments: &'a [String], name: &str) -> Vec<&'a str> {
    let pairs = arguments.windows(2);
    pairs
        .filter(|pair| pair[0] == name)
        .map(|pair| pair[1].as_str())
        .collect()
}

#[test]
fn hardware_bugs_are_worked_around_on_hardware_only() {
    let kvm = kernel(&config(Accelerator::Kvm, 1), None);
    let emulation = kernel(&config(Accelerator::Emulation, 1), None);
    assert!(!kvm.contains("mitigations"), "{kvm}");
    assert!(emulation.contains("mitigations=off"), "{emulation}");
    assert!(kvm.ends_with("skete.log=debug"), "{kvm}");
}

#[test]
fn several_processors_keep_their_local_timers() {
    assert!(kernel(&config(Accelerator::Emulation, 1), None).contains("nolapic_timer"));
    assert!(!kernel(&config(Accelerator::Emulation, 2), None).contains("nolapic_timer"));
}

#[test]
fn qemu_is_sandboxed_and_has_no_devices_but_ours() {
    for accelerator in [Accelerator::Kvm, Accelerator::Emulation] {
        let arguments = arguments(&config(accelerator, 2), &[]);
        let sandbox = values(&arguments, "-sandbox");
        assert_eq!(sandbox.len(), 1);
        for wall in [
            "on",
            "obsolete=deny",
            "elevateprivileges=deny",
            "spawn=deny",
        ] {
            assert!(sandbox[0].split(',').any(|word| word == wall), "{wall}");
        }
        for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
            assert!(arguments.iter().any(|word| word == flag), "{flag}");
        }
        assert_eq!(values(&arguments, "-smp"), ["2"]);
        assert_eq!(values(&arguments, "-m"), ["96M"]);
        assert!(values(&arguments, "-object")[0].contains("\"size\":100663296"));
    }
}

#[test]
fn each_tap_is_a_device_with_its_address() {
    let mut config = config(Accelerator::Kvm, 1);
    for last in [1, 2] {
        let fd = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        config.taps.push(Tap {
            fd,
            mac: [2, 0, 0, 0xab, 0xcd, last],
        });
    }
    let arguments = arguments(&config, &[]);
    let netdevs = values(&arguments, "-netdev");
    assert_eq!(
        netdevs,
        ["tap,id=net0,fd=20,vhost=off", "tap,id=net1,fd=21,vhost=off"]
    );
    let devices = values(&arguments, "-device").join(" ");
    assert!(
        devices.contains("\"mac\":\"02:00:00:ab:cd:01\""),
        "{devices}"
    );
    assert!(
        devices.contains("\"mac\":\"02:00:00:ab:cd:02\""),
        "{devices}"
    );
}

#[test]
fn one_file_is_a_raw_disk_and_several_are_a_described_one() {
    let raw = DiskNode::new(&disk("one", &["/l/a"]), None).blockdev();
    assert_eq!(raw["driver"], "raw");
    assert_eq!(raw["file"]["filename"], "/l/a");
    let descriptor = Path::new("/run/web-1/disk-two.vmdk");
    let node = DiskNode::new(&disk("two", &["/l/a", "/l/b"]), Some(descriptor));
    let described = node.blockdev();
    assert_eq!(described["driver"], "vmdk");
    assert_eq!(described["read-only"], true);
    assert_eq!(described["file"]["filename"], "/run/web-1/disk-two.vmdk");
    assert_eq!(node.device()["serial"], "two");
    assert_eq!(node.device()["drive"], described["node-name"]);
}

#[test]
fn a_path_with_commas_stays_one_file_name() {
    let node = DiskNode::new(&disk("one", &["/l/a,readonly=off,x"]), None);
    let arguments = arguments(&config(Accelerator::Kvm, 1), &[node]);
    let blockdev = values(&arguments, "-blockdev");
    let parsed: Value = serde_json::from_str(blockdev[0]).unwrap();
    assert_eq!(parsed["file"]["filename"], "/l/a,readonly=off,x");
}

#[test]
fn an_emulated_guest_is_told_the_rate_of_its_counter() {
    let told = |accelerator| kernel(&config(accelerator, 1), Some(2_600_000));
    assert!(told(Accelerator::Emulation).contains("tsc_early_khz=2600000"));
    assert!(!told(Accelerator::Kvm).contains("tsc_early_khz"));
}
