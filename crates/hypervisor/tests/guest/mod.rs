//! A guest for tests: busybox and a script, run as PID 1.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use skete_hypervisor::{Accelerator, VmConfig};

fn kernel() -> PathBuf {
    std::env::var_os("SKETE_TEST_KERNEL")
        .expect("SKETE_TEST_KERNEL names no kernel")
        .into()
}

pub(crate) struct Guest {
    dir: tempfile::TempDir,
}

impl Guest {
    /// A guest whose PID 1 does this, with /proc, /sys and /dev mounted.
    pub(crate) fn new(script: &str) -> Guest {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        for name in ["bin", "dev", "proc", "sys"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
        let init = format!(
            "#!/bin/busybox sh\n/bin/busybox --install -s /bin\nexport PATH=/bin\n\
             mount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\n\
             exec >/dev/console 2>&1 </dev/null\n{script}\n",
        );
        fs::write(root.join("init"), init).unwrap();
        let pack = "chmod 755 init && find . | cpio --quiet -o -H newc >../initramfs.cpio";
        let packed = Command::new("sh")
            .args(["-c", pack])
            .current_dir(&root)
            .status()
            .unwrap();
        assert!(packed.success());
        Guest { dir }
    }

    pub(crate) fn config(&self) -> VmConfig {
        VmConfig {
            id: "test".to_owned(),
            kernel: kernel(),
            initramfs: self.dir().join("initramfs.cpio"),
            cmdline: Vec::new(),
            vcpus: 1,
            memory_mib: 128,
            max_memory_mib: 0,
            taps: Vec::new(),
            vsock: None,
            disks: Vec::new(),
            console: self.console_path(),
            run_dir: self.dir().to_owned(),
            accelerator: Accelerator::Emulation,
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn console_path(&self) -> PathBuf {
        self.dir().join("console.log")
    }

    pub(crate) fn older_console(&self) -> PathBuf {
        self.dir().join("console.log.1")
    }

    /// What the guest has written so far.
    pub(crate) fn console(&self) -> String {
        let bytes = fs::read(self.console_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until the guest has written a line with these words.
    pub(crate) async fn says(&self, words: &str, limit: Duration) {
        let begun = Instant::now();
        while !self.console().contains(words) {
            assert!(
                begun.elapsed() < limit,
                "no {words:?} in: {}",
                self.console()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// The SHA-256 of some bytes, in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::io::Write as _;
    let mut child = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned()
}

/// The guest's memory that is really there on the host, in MiB.
pub(crate) fn memory_mib(pid: u32) -> u64 {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    fds.filter_map(|fd| fd.ok().map(|fd| fd.path()))
        .filter(|fd| {
            fs::read_link(fd).is_ok_and(|to| to.to_string_lossy().contains("memfd:memory-backend"))
        })
        .map(|fd| (fs::metadata(fd).unwrap().blocks() * 512) >> 20)
        .sum()
}
