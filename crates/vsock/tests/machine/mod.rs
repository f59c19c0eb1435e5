//! A guest of the real kernel behind the device: QEMU, emulating, and `guest/init.c` as PID 1.

/// It is made as what is shipped.
#[path = "../../../../xtask/src/cpio.rs"]
mod cpio;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::FdFlags;

/// What may take this long has failed; emulation on a busy machine is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running guest, ended when dropped.
pub(crate) struct Machine {
    pub(crate) vsock: Child,
    pub(crate) qemu: Child,
    pub(crate) dir: tempfile::TempDir,
}

impl Machine {
    /// Boots a guest that may not reboot, and waits until its servers answer.
    pub(crate) fn boot() -> Self {
        Self::boot_with("pc", "vhost-user-vsock-pci", &["-no-reboot"])
    }

    /// Boots a guest on this machine of QEMU's with this device and these arguments beside, and
    /// waits until its servers answer.
    pub(crate) fn boot_with(machine: &str, device: &str, arguments: &[&str]) -> Self {
        let kernel = std::env::var_os("SKETE_TEST_KERNEL")
            .expect("SKETE_TEST_KERNEL is not set: it names the guest kernel to test with");
        let dir = tempfile::tempdir().expect("a directory");
        let initramfs = dir.path().join("initramfs.cpio");
        std::fs::write(&initramfs, cpio::archive(&build_init(dir.path()))).expect("the initramfs");

        let monitor = dir.path().join("vhost.sock");
        let host = dir.path().join("vsock");
        let vhost_listener = UnixListener::bind(&monitor).expect("a socket");
        let host_listener = UnixListener::bind(&host).expect("a socket");
        for listener in [&vhost_listener, &host_listener] {
            rustix::io::fcntl_setfd(listener, FdFlags::empty()).expect("an inheritable socket");
        }
        let vsock = Command::new(env!("CARGO_BIN_EXE_skete-vsock"))
            .arg("--socket-fd")
            .arg(vhost_listener.as_raw_fd().to_string())
            .arg("--uds-fd")
            .arg(host_listener.as_raw_fd().to_string())
            .arg("--uds-path")
            .arg(&host)
            .arg("--parent")
            .arg(std::process::id().to_string())
            .spawn()
            .expect("the device");
        let console = File::create(dir.path().join("console")).expect("a file");
        let qemu = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-monitor", "none", "-M"])
            .arg(format!("{machine},memory-backend=mem"))
            .args(arguments)
            .args(["-accel", "tcg,thread=multi", "-cpu", "max", "-m", "256"])
            .args(["-object", "memory-backend-memfd,id=mem,size=256M,share=on"])
            .arg("-chardev")
            .arg(format!("socket,id=c,path={}", monitor.display()))
            .arg("-device")
            .arg(format!("{device},chardev=c"))
            .arg("-kernel")
            .arg(kernel)
            .arg("-initrd")
            .arg(&initramfs)
            // On a busy host the kernel's check of its timer fails, and that is a panic.
            .args([
                "-append",
                "console=ttyS0 quiet panic=-1 reboot=k no_timer_check",
            ])
            .args(["-serial", "stdio"])
            .stdin(Stdio::null())
            .stdout(console)
            .spawn()
            .expect("qemu-system-x86_64");
        let machine = Self { vsock, qemu, dir };
        machine.wait_until_ready();
        machine
    }

    /// Waits until the guest's servers answer, and gives a connection to the echo.
    pub(crate) fn wait_until_ready(&self) -> UnixStream {
        let start = Instant::now();
        loop {
            if let Some(stream) = self.try_connect(1000) {
                return stream;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "the guest does not answer; its console:\n{}",
                self.console()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the guest has printed.
    pub(crate) fn console(&self) -> String {
        let bytes = std::fs::read(self.dir.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The Unix socket of the device.
    pub(crate) fn uds(&self) -> PathBuf {
        self.dir.path().join("vsock")
    }

    /// A connection to a port of the guest, if something there accepts it.
    pub(crate) fn try_connect(&self, port: u32) -> Option<UnixStream> {
        let mut stream = UnixStream::connect(self.uds()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        stream
            .write_all(format!("CONNECT {port}\n").as_bytes())
            .ok()?;
        let mut answer = Vec::new();
        let mut byte = [0];
        while answer.last() != Some(&b'\n') {
            if stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"OK "), "{answer:?}");
        Some(stream)
    }

    /// A connection to a port of the guest.
    pub(crate) fn connect(&self, port: u32) -> UnixStream {
        self.try_connect(port).expect("the guest accepts")
    }

    /// Listens where the guest's connections to this port of the host go.
    pub(crate) fn listen(&self, port: u32) -> UnixListener {
        let mut path = self.uds().into_os_string();
        path.push(format!("_{port}"));
        UnixListener::bind(path).expect("a socket")
    }

    /// A line of the device's `/proc/<pid>/status`, in KiB.
    pub(crate) fn memory(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.vsock.id()))
            .expect("the device runs");
        status
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .and_then(|value| value.trim().trim_end_matches(" kB").parse().ok())
            .expect("a number of KiB")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in [&mut self.qemu, &mut self.vsock] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a process to end by itself, and gives whether it ended well.
pub(crate) fn wait_for(child: &mut Child) -> bool {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            return status.success();
        }
        assert!(start.elapsed() < PATIENCE, "the process does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends `bytes` of the stream that both sides know.
pub(crate) fn send_stream(mut to: &UnixStream, bytes: usize) {
    let mut word = 0u64;
    let mut left = bytes;
    while left > 0 {
        let count = left.min(256 * 1024);
        let chunk: Vec<u8> = (0..count.div_ceil(8))
            .flat_map(|_| {
                let value = word.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                word += 1;
                value.to_le_bytes()
            })
            .take(count)
            .collect();
        to.write_all(&chunk).expect("the device takes it");
        left -= count;
    }
}

/// Reads to the end, checking that it is the stream, and gives how much of it there was.
pub(crate) fn take_stream(mut from: &UnixStream) -> usize {
    let mut buffer = vec![0; 256 * 1024];
    let mut total = 0usize;
    loop {
        let count = from.read(&mut buffer).expect("the device gives");
        if count == 0 {
            return total;
        }
        for (at, &byte) in (total..).zip(&buffer[..count]) {
            let word = (at as u64 / 8).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            assert_eq!(byte, word.to_le_bytes()[at % 8], "byte {at}");
        }
        total += count;
    }
}

fn build_init(dir: &Path) -> Vec<u8> {
    let init = dir.join("init");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest/init.c");
    let status = Command::new("cc")
        .args(["-static", "-O2", "-o"])
        .args([init.as_os_str(), source.as_ref()])
        .status()
        .expect("cc");
    assert!(status.success(), "cc failed");
    std::fs::read(init).expect("the guest's program")
}
