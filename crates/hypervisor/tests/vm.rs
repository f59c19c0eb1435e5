//! Real virtual machines, with a kernel from `SKETE_TEST_KERNEL` and busybox in the guest.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by them

mod guest;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use guest::Guest;
use skete_hypervisor::{Disk, Error, ExitReason, Hypervisor, Qemu, concatenate};

/// How long a guest on a loaded machine may take for what takes it tenths of a second.
const SOON: Duration = Duration::from_secs(30);

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// `count` files of one to three pages, each page filled with a value of its own.
fn extents(dir: &Path, count: usize) -> (Vec<PathBuf>, Vec<u8>) {
    let mut whole = Vec::new();
    let mut files = Vec::new();
    for n in 0..count {
        let bytes: Vec<u8> = (0..(n % 3 + 1) * 4096)
            .map(|at| ((at / 512) * 7 + n * 31) as u8)
            .collect();
        let file = dir.join(format!("layer {n}, of some.erofs"));
        std::fs::write(&file, &bytes).unwrap();
        whole.extend_from_slice(&bytes);
        files.push(file);
    }
    (files, whole)
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_guest_starts_and_powers_off() {
    let guest = Guest::new("echo up since $(cut -d' ' -f1 /proc/uptime); poweroff -f");
    let begun = Instant::now();
    let vm = Qemu::default().start(guest.config()).await.unwrap();
    let started = begun.elapsed();
    let exit = vm.wait().await;
    assert_eq!(exit.reason, ExitReason::PoweredOff);
    assert_eq!(exit, vm.wait().await, "the end can be asked for again");
    assert!(!alive(vm.pid()));
    let console = guest.console();
    assert!(console.contains("up since "), "{console}");
    println!(
        "answered after {started:?}, ended after {:?}: {console}",
        begun.elapsed()
    );
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_guest_of_two_cpus_and_more_than_4_gib_has_them() {
    let guest = Guest::new("echo $(nproc) CPUs; grep MemTotal /proc/meminfo; poweroff -f");
    let mut config = guest.config();
    (config.vcpus, config.memory_mib) = (2, 5000);
    let vm = Qemu::default().start(config).await.unwrap();
    assert_eq!(vm.wait().await.reason, ExitReason::PoweredOff);
    let console = guest.console();
    assert!(console.contains("2 CPUs"), "{console}");
    let total = console
        .split_whitespace()
        .skip_while(|word| *word != "MemTotal:")
        .nth(1);
    let kib: u64 = total.unwrap().parse().unwrap();
    assert!((4_800_000..5_120_000).contains(&kib), "{console}");
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_guest_gets_more_memory_and_gives_it_back() {
    let guest = Guest::new(
        "echo ready
         while sleep 0.1; do
             kib=$(awk '/MemTotal/ { print $2 }' /proc/meminfo)
             if [ $kib -gt 450000 ]; then echo grown; elif [ $kib -lt 120000 ]; then echo shrunk; fi
         done",
    );
    let mut config = guest.config();
    config.max_memory_mib = 1024;
    let vm = Qemu::default().start(config).await.unwrap();
    guest.says("ready", SOON).await;
    vm.set_memory(512).await.unwrap();
    guest.says("grown", SOON).await;
    let most = vm.set_memory(1025).await;
    assert!(matches!(most, Err(Error::MemoryFixed { most: 1024, .. })));
    vm.set_memory(96).await.unwrap();
    guest.says("shrunk", SOON).await;
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_disk_of_sixty_files_is_plugged_in_read_and_taken_away() {
    let guest = Guest::new(
        "echo ready
         until disk=$(grep -lx layers-1 /sys/block/*/serial 2>/dev/null); do usleep 1000; done
         echo found
         disk=/dev/$(basename $(dirname $disk))
         echo sum $(sha256sum <$disk)
         dd if=/dev/zero of=$disk bs=4096 count=1 2>/dev/null || echo refused
         while grep -qx layers-1 /sys/block/*/serial 2>/dev/null; do usleep 1000; done
         echo gone
         sleep 1000",
    );
    let (files, whole) = extents(guest.dir(), 60);
    let extents = concatenate(&files).unwrap();
    assert!(extents.iter().all(|extent| extent.offset % 4096 == 0));
    let disk = Disk {
        serial: "layers-1".to_owned(),
        read_only: true,
        ephemeral: false,
        extents,
    };
    let vm = Qemu::default().start(guest.config()).await.unwrap();
    guest.says("ready", SOON).await;

    let begun = Instant::now();
    vm.attach_disk(&disk).await.unwrap();
    let attached = begun.elapsed();
    guest.says("found", SOON).await;
    println!(
        "attached in {attached:?}, seen by the guest after {:?}",
        begun.elapsed()
    );
    guest
        .says(&format!("sum {}", guest::sha256(&whole)), SOON)
        .await;
    guest.says("refused", SOON).await;
    assert!(matches!(
        vm.attach_disk(&disk).await,
        Err(Error::DiskExists(_))
    ));

    vm.detach_disk("layers-1").await.unwrap();
    guest.says("gone", SOON).await;
    assert!(matches!(
        vm.detach_disk("layers-1").await,
        Err(Error::NoDisk(_))
    ));
    assert!(!guest.dir().join("disk-layers-1.vmdk").exists());
    vm.attach_disk(&disk).await.unwrap();
    vm.kill().await;
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn disks_are_plugged_in_until_no_slot_is_left() {
    let guest = Guest::new(
        "echo ready
         while sleep 0.02; do echo have $(ls -d /sys/block/vd* | wc -l) disks; done",
    );
    let (files, _) = extents(guest.dir(), 1);
    let vm = Qemu::default().start(guest.config()).await.unwrap();
    guest.says("ready", SOON).await;
    let mut count = 0;
    let error = loop {
        let mut disk = Disk::whole(&format!("disk-{count}"), &files[0], true).unwrap();
        disk.ephemeral = true;
        match vm.attach_disk(&disk).await {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::NoSlot), "{error}");
    println!("{count} disks");
    assert!(count >= 24, "{count}");
    guest.says(&format!("have {count} disks"), SOON).await;
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_scratch_disk_is_there_from_the_start_and_gives_space_back() {
    let guest = Guest::new(
        "disk=/dev/$(basename $(dirname $(grep -lx scratch /sys/block/*/serial)))
         dd if=/dev/urandom of=$disk bs=1M count=8 conv=fsync && echo written; sleep 3
         blkdiscard $disk && echo discarded; sleep 1000",
    );
    let file = guest.dir().join("scratch.raw");
    std::fs::File::create(&file)
        .unwrap()
        .set_len(16 << 20)
        .unwrap();
    let mut disk = Disk::whole("scratch", &file, false).unwrap();
    disk.ephemeral = true;
    let mut config = guest.config();
    config.disks.push(disk);
    let vm = Qemu::default().start(config).await.unwrap();
    guest.says("written", SOON).await;
    let allocated = || std::fs::metadata(&file).unwrap().blocks() * 512;
    assert!(allocated() >= 8 << 20, "{}", allocated());
    guest.says("discarded", SOON).await;
    assert!(allocated() < 1 << 20, "{}", allocated());
    vm.kill().await;
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_paused_guest_stands_still_until_it_is_resumed() {
    let guest = Guest::new("while echo tick; do usleep 20000; done");
    let vm = Qemu::default().start(guest.config()).await.unwrap();
    guest.says("tick", SOON).await;
    vm.pause().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = guest.console().len();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(guest.console().len(), before);
    vm.resume().await.unwrap();
    let begun = Instant::now();
    while guest.console().len() == before {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    vm.kill().await;
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn stop_presses_the_power_button_even_of_a_paused_guest() {
    let guest = Guest::new(
        "exec 3</dev/input/event0; echo ready
         dd bs=24 count=1 <&3 >/dev/null 2>&1; poweroff -f",
    );
    let vm = Qemu::default().start(guest.config()).await.unwrap();
    guest.says("ready", SOON).await;
    vm.pause().await.unwrap();
    assert_eq!(vm.stop(SOON).await.reason, ExitReason::PoweredOff);
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn stop_kills_a_guest_that_ignores_the_button() {
    let guest = Guest::new("echo ready; sleep 1000");
    let vm = Qemu::default().start(guest.config()).await.unwrap();
    guest.says("ready", SOON).await;
    let begun = Instant::now();
    assert_eq!(
        vm.stop(Duration::from_millis(300)).await.reason,
        ExitReason::Killed
    );
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert!(!alive(vm.pid()));
    assert_eq!(
        vm.kill().await.reason,
        ExitReason::Killed,
        "killing again is no error"
    );
    assert!(matches!(vm.pause().await, Err(Error::Ended(_))));
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_panic_is_told_with_the_kernels_words() {
    let guest = Guest::new("exit 3");
    let vm = Qemu::default().start(guest.config()).await.unwrap();
    let exit = vm.wait().await;
    assert_eq!(exit.reason, ExitReason::Panicked);
    let line = exit.last_line.clone().unwrap();
    assert!(line.contains("Attempted to kill init"), "{line}");
    println!("{exit}");
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_reset_is_the_end_and_told_as_such() {
    let guest = Guest::new("echo resetting; reboot -f");
    let vm = Qemu::default().start(guest.config()).await.unwrap();
    assert_eq!(vm.wait().await.reason, ExitReason::Reset);
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_monitor_that_is_killed_by_another_is_told_as_crashed() {
    let guest = Guest::new("echo ready; sleep 1000");
    let vm = Qemu::default().start(guest.config()).await.unwrap();
    guest.says("ready", SOON).await;
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &vm.pid().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let exit = vm.wait().await;
    assert_eq!(
        exit.reason,
        ExitReason::Crashed("was ended by signal 9".to_owned())
    );
    assert!(exit.last_line.unwrap().contains("ready"));
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_dropped_vm_is_gone() {
    let guest = Guest::new("echo ready; sleep 1000");
    let vm = Qemu::default().start(guest.config()).await.unwrap();
    guest.says("ready", SOON).await;
    let pid = vm.pid();
    drop(vm);
    let begun = Instant::now();
    while alive(pid) {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_guest_that_floods_its_console_fills_no_disk() {
    let guest = Guest::new("echo ready; yes 'all work and no play' >/dev/console");
    let vm = Qemu::default().start(guest.config()).await.unwrap();
    guest.says("ready", SOON).await;
    let begun = Instant::now();
    while !guest.older_console().exists() {
        assert!(begun.elapsed() < 4 * SOON);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    vm.kill().await;
    let kept: u64 = [guest.console_path(), guest.older_console()]
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert!((512 << 10..=1 << 20).contains(&kept), "{kept}");
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn memory_that_a_guest_frees_goes_back_to_the_host() {
    let guest = Guest::new(
        "mkdir /big; mount -t tmpfs -o size=100m big /big
         dd if=/dev/urandom of=/big/file bs=1M count=80 2>/dev/null; echo full; sleep 2
         rm /big/file; echo freed; sleep 1000",
    );
    let mut config = guest.config();
    config.memory_mib = 256;
    let vm = Qemu::default().start(config).await.unwrap();
    guest.says("full", SOON).await;
    let full = guest::memory_mib(vm.pid());
    assert!(full >= 80, "{full}");
    guest.says("freed", SOON).await;
    let begun = Instant::now();
    // Pages are reported some seconds after they were freed.
    while guest::memory_mib(vm.pid()) + 60 > full {
        assert!(
            begun.elapsed() < SOON,
            "{full} and then {}",
            guest::memory_mib(vm.pid())
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{full} MiB, and then {} MiB", guest::memory_mib(vm.pid()));
    vm.kill().await;
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn what_cannot_start_is_told_in_one_clear_line() {
    let guest = Guest::new("poweroff -f");
    let start = |config| async { Qemu::default().start(config).await.err().unwrap() };

    let mut config = guest.config();
    config.kernel = guest.dir().join("no-kernel");
    let error = start(config).await;
    assert!(
        matches!(&error, Error::File { path, .. } if path.ends_with("no-kernel")),
        "{error}"
    );

    let mut config = guest.config();
    let kernel = guest.dir().join("not-a-kernel");
    config.kernel.clone_from(&kernel);
    std::fs::write(&kernel, "not a kernel\n".repeat(1000)).unwrap();
    let error = start(config).await;
    assert!(
        matches!(&error, Error::NotAKernel(path) if *path == kernel),
        "{error}"
    );

    // An ELF file, and no kernel.
    let mut config = guest.config();
    config.kernel = "/bin/busybox".into();
    let text = start(config).await.to_string();
    assert_eq!(
        text,
        "the VM did not start: Error loading uncompressed kernel without PVH ELF Note"
    );

    let mut config = guest.config();
    let file = guest.dir().join("torn.raw");
    std::fs::write(&file, vec![0; 4096]).unwrap();
    config.disks.push(Disk::whole("torn", &file, true).unwrap());
    std::fs::remove_file(&file).unwrap();
    let text = start(config).await.to_string();
    assert!(text.contains("torn.raw") && !text.contains('\n'), "{text}");

    let error = Qemu::new("/no/such/qemu")
        .start(guest.config())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::Spawn { .. }), "{error}");
}
