//! A guest of the real kernel with the agent as PID 1: QEMU, emulating, and `skete-vsock`.

/// It is made as what is shipped.
#[path = "../../../../xtask/src/cpio.rs"]
mod cpio;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use skete_agent_api::agent::{
    ConfigureSandboxRequest, CreateContainerRequest, CreateExecRequest, Empty, Extent,
    HelloRequest, HelloResponse, LayerDisk, ProcessRef, WaitResponse,
};
use skete_agent_api::agent_ttrpc::AgentClient;
use skete_agent_api::{CONTROL_PORT, STDIO_PORT, StdioHeader, StdioStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use ttrpc::r#async::Client;
use ttrpc::r#async::transport::Socket;
use ttrpc::context::{self, Context};

/// What may take this long has failed; emulation on a busy machine is slow.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn patient() -> Context {
    context::with_duration(PATIENCE)
}

/// A running guest, ended when dropped.
pub(crate) struct Machine {
    qemu: Child,
    vsock: Child,
    qmp: (BufReader<StdStream>, StdStream),
    disks: usize,
    pub(crate) agent: AgentClient,
    pub(crate) hello: HelloResponse,
    pub(crate) dir: tempfile::TempDir,
}

fn variable(name: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set"))
}

impl Machine {
    /// Boots a guest and waits for its agent's answer.
    pub(crate) async fn boot(memory_mib: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let agent = fs::read(variable("SKETE_TEST_AGENT")).expect("the agent's program");
        fs::write(path("initramfs"), cpio::archive(&agent)).unwrap();
        let vsock = Command::new(variable("SKETE_TEST_VSOCK"))
            .arg("--socket")
            .arg(path("vhost"))
            .arg("--uds-path")
            .arg(path("vsock"))
            .spawn()
            .expect("skete-vsock");
        wait_until("the device listens", || path("vhost").exists());
        let console = File::create(path("console")).unwrap();
        let qemu = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args([
                "-no-reboot",
                "-M",
                "pc,usb=off,vmport=off,smm=off,memory-backend=mem",
            ])
            .args(["-accel", "tcg,thread=multi", "-cpu", "max"])
            .arg("-m")
            .arg(memory_mib.to_string())
            .arg("-object")
            .arg(format!(
                "memory-backend-memfd,id=mem,size={memory_mib}M,share=on"
            ))
            .args(["-bios", "qboot.rom"])
            .args(["-nic", "none"])
            .args(["-netdev", "user,id=net,restrict=on"])
            .args(["-device", "virtio-net-pci,netdev=net,mac=52:54:00:12:34:56"])
            .arg("-chardev")
            .arg(format!("socket,id=c,path={}", path("vhost").display()))
            .args(["-device", "vhost-user-vsock-pci,chardev=c"])
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", path("qmp").display()))
            .arg("-kernel")
            .arg(variable("SKETE_TEST_KERNEL"))
            .arg("-initrd")
            .arg(path("initramfs"))
            .args([
                "-append",
                "console=ttyS0 quiet panic=-1 reboot=k rcupdate.rcu_expedited=1 noreplace-smp \
                 no_timer_check tsc=reliable mitigations=off acpi=noirq nolapic_timer",
            ])
            .args(["-serial", "stdio"])
            .stdin(Stdio::null())
            .stdout(console)
            .spawn()
            .expect("qemu-system-x86_64");
        wait_until("the monitor answers", || {
            StdStream::connect(path("qmp")).is_ok()
        });
        let stream = StdStream::connect(path("qmp")).unwrap();
        let qmp = (BufReader::new(stream.try_clone().unwrap()), stream);
        let (agent, hello) = hello(&path("vsock"), &path("console")).await;
        let mut machine = Self {
            qemu,
            vsock,
            qmp,
            disks: 0,
            agent,
            hello,
            dir,
        };
        machine.qmp_line();
        machine.qmp(r#"{"execute":"qmp_capabilities"}"#);
        machine
    }

    /// Boots a guest with the sandbox configured, writable layers in memory.
    pub(crate) async fn configured() -> Self {
        let machine = Self::boot(256).await;
        let request = ConfigureSandboxRequest {
            hostname: "pod".to_owned(),
            realtime_ns: 1_900_000_000_000_000_000,
            entropy: vec![7; 32],
            ..ConfigureSandboxRequest::default()
        };
        machine
            .agent
            .configure_sandbox(patient(), &request)
            .await
            .unwrap();
        machine
    }

    /// What the guest has printed.
    pub(crate) fn console(&self) -> String {
        let bytes = fs::read(self.dir.path().join("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A connection to a port of the guest.
    pub(crate) async fn connect(&self, port: u32) -> UnixStream {
        connect(&self.dir.path().join("vsock"), port).await.unwrap()
    }

    fn qmp_line(&mut self) -> String {
        let mut line = String::new();
        self.qmp.0.read_line(&mut line).unwrap();
        line
    }

    fn qmp(&mut self, command: &str) {
        self.qmp.1.write_all(command.as_bytes()).unwrap();
        loop {
            let line = self.qmp_line();
            assert!(!line.contains("\"error\""), "{command}: {line}");
            if line.contains("\"return\"") {
                return;
            }
        }
    }

    /// Plugs a disk in.
    pub(crate) fn plug(&mut self, file: &Path, serial: &str, read_only: bool) {
        let node = format!("disk{}", self.disks);
        self.disks += 1;
        let file = file.display();
        self.qmp(&format!(
            r#"{{"execute":"blockdev-add","arguments":{{"driver":"raw","node-name":"{node}","read-only":{read_only},"file":{{"driver":"file","filename":"{file}","read-only":{read_only}}}}}}}"#
        ));
        self.qmp(&format!(
            r#"{{"execute":"device_add","arguments":{{"driver":"virtio-blk-pci","id":"d{node}","drive":"{node}","serial":"{serial}"}}}}"#
        ));
    }

    /// Makes a container of directories, each a layer, lowest first.
    pub(crate) async fn create(
        &mut self,
        id: &str,
        layers: &[PathBuf],
        spec: &serde_json::Value,
    ) -> ttrpc::Result<()> {
        let serial = format!("layers-{}", self.disks);
        let file = self.dir.path().join(&serial);
        let extents = layer_disk(&file, layers);
        self.plug(&file, &serial, true);
        let request = CreateContainerRequest {
            id: id.to_owned(),
            spec: spec.to_string().into_bytes(),
            rootfs: Some(LayerDisk {
                serial,
                layers: extents,
                ..LayerDisk::default()
            })
            .into(),
            terminal: spec["process"]["terminal"] == true,
            ..CreateContainerRequest::default()
        };
        let created = self.agent.create_container(patient(), &request).await;
        created.map(drop)
    }

    /// Connects a stream of a process.
    pub(crate) async fn stream(&self, id: &str, exec: &str, stream: StdioStream) -> UnixStream {
        let header = StdioHeader {
            stream,
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
        };
        let mut connection = self.connect(STDIO_PORT).await;
        let line = format!("{header}\n");
        connection.write_all(line.as_bytes()).await.unwrap();
        assert_eq!(line_of(&mut connection).await.unwrap(), "OK");
        connection
    }

    /// Starts a process.
    pub(crate) async fn start(&self, id: &str, exec: &str) -> ttrpc::Result<()> {
        let process = process(id, exec);
        self.agent
            .start_process(patient(), &process)
            .await
            .map(drop)
    }

    /// Waits for a process's end.
    pub(crate) async fn wait(&self, id: &str, exec: &str) -> WaitResponse {
        let waited = self.agent.wait_process(patient(), &process(id, exec)).await;
        waited.unwrap_or_else(|error| panic!("{error}\n{}", self.console()))
    }

    /// Starts a process, gives its output and its exit code.
    pub(crate) async fn output(&self, id: &str, exec: &str) -> ttrpc::Result<(String, u32)> {
        let mut stdout = self.stream(id, exec, StdioStream::Stdout).await;
        let mut stderr = self.stream(id, exec, StdioStream::Stderr).await;
        self.start(id, exec).await?;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (read_out, read_err) =
            tokio::join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err));
        read_out.unwrap();
        read_err.unwrap();
        out.extend(err);
        let exit = self.wait(id, exec).await;
        Ok((String::from_utf8_lossy(&out).into_owned(), exit.exit_code))
    }

    /// Makes a container that runs a command and gives its output and exit code.
    pub(crate) async fn run(
        &mut self,
        id: &str,
        layers: &[PathBuf],
        args: &[&str],
    ) -> ttrpc::Result<(String, u32)> {
        self.create(id, layers, &spec(args)).await?;
        self.output(id, "").await
    }

    /// Runs a further command in a container.
    pub(crate) async fn exec(
        &self,
        id: &str,
        exec: &str,
        process: serde_json::Value,
    ) -> ttrpc::Result<(String, u32)> {
        self.add_exec(id, exec, process).await?;
        self.output(id, exec).await
    }

    /// Registers a further process.
    pub(crate) async fn add_exec(
        &self,
        id: &str,
        exec: &str,
        process: serde_json::Value,
    ) -> ttrpc::Result<()> {
        let request = CreateExecRequest {
            container_id: id.to_owned(),
            exec_id: exec.to_owned(),
            terminal: process["terminal"] == true,
            process: process.to_string().into_bytes(),
            ..CreateExecRequest::default()
        };
        self.agent.create_exec(patient(), &request).await.map(drop)
    }

    /// Turns the guest off and waits until its monitor has ended.
    pub(crate) async fn power_off(&mut self) {
        let _ = self.agent.power_off(patient(), &Empty::default()).await;
        let start = Instant::now();
        while self.qemu.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "{}", self.console());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in [&mut self.qemu, &mut self.vsock] {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the guest's console:\n{}", self.console());
        }
    }
}

pub(crate) fn process(id: &str, exec: &str) -> ProcessRef {
    ProcessRef {
        container_id: id.to_owned(),
        exec_id: exec.to_owned(),
        ..ProcessRef::default()
    }
}

fn wait_until(what: &str, ready: impl Fn() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn hello(vsock: &Path, console: &Path) -> (AgentClient, HelloResponse) {
    let start = Instant::now();
    loop {
        if let Ok(stream) = connect(vsock, CONTROL_PORT).await {
            let client = AgentClient::new(Client::new(Socket::new(stream)));
            if let Ok(hello) = client.hello(patient(), &HelloRequest::default()).await {
                return (client, hello);
            }
        }
        let console = || fs::read_to_string(console).unwrap_or_default();
        assert!(
            start.elapsed() < PATIENCE,
            "no answer; console:\n{}",
            console()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn connect(vsock: &Path, port: u32) -> std::io::Result<UnixStream> {
    let mut stream = UnixStream::connect(vsock).await?;
    stream
        .write_all(format!("CONNECT {port}\n").as_bytes())
        .await?;
    let answer = line_of(&mut stream).await?;
    if answer.starts_with("OK ") {
        return Ok(stream);
    }
    Err(std::io::Error::other(answer))
}

pub(crate) async fn line_of(stream: &mut UnixStream) -> std::io::Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(String::from_utf8_lossy(&line).into_owned()),
            byte => line.push(byte),
        }
    }
}

/// An OCI specification as the engine gives it.
pub(crate) fn spec(args: &[&str]) -> serde_json::Value {
    let caps = [
        "CAP_CHOWN",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_KILL",
        "CAP_MKNOD",
        "CAP_DAC_OVERRIDE",
    ];
    serde_json::json!({
        "ociVersion": "1.1.0",
        "hostname": "c",
        "root": {"path": "rootfs"},
        "process": {
            "cwd": "/",
            "args": args,
            "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps}
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
        ],
        "linux": {
            "resources": {},
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}, {"type": "ipc"}, {"type": "cgroup"}],
            "maskedPaths": ["/proc/kcore", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys"]
        }
    })
}

/// An OCI process for an exec.
pub(crate) fn exec_of(args: &[&str]) -> serde_json::Value {
    spec(args)["process"].clone()
}

/// A directory with busybox under all its names.
pub(crate) fn busybox(directory: &Path) -> PathBuf {
    let bin = directory.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(directory.join("etc")).unwrap();
    fs::create_dir_all(directory.join("tmp")).unwrap();
    fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
    let list = Command::new("/bin/busybox").arg("--list").output().unwrap();
    for name in String::from_utf8(list.stdout).unwrap().lines() {
        if name != "busybox" {
            std::os::unix::fs::symlink("busybox", bin.join(name)).unwrap();
        }
    }
    fs::write(
        directory.join("etc/passwd"),
        "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nowhere:/bin/sh\n",
    )
    .unwrap();
    fs::write(
        directory.join("etc/group"),
        "root:x:0:\nwheel:x:10:nobody\n",
    )
    .unwrap();
    directory.to_owned()
}

/// Makes an EROFS image of each directory, one behind the other in a file.
fn layer_disk(file: &Path, layers: &[PathBuf]) -> Vec<Extent> {
    let mut made: HashMap<&Path, Vec<u8>> = HashMap::new();
    let mut disk = Vec::new();
    let mut extents = Vec::new();
    for layer in layers {
        let image = made.entry(layer).or_insert_with(|| {
            let image = file.with_extension("image");
            let _ = fs::remove_file(&image);
            let status = Command::new("mkfs.erofs")
                .args(["-Enoinline_data", "--quiet"])
                .args([&image, layer])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("mkfs.erofs");
            assert!(status.success());
            let mut bytes = fs::read(&image).unwrap();
            bytes.resize(bytes.len().next_multiple_of(4096), 0);
            bytes
        });
        extents.push(Extent {
            offset: disk.len() as u64,
            length: image.len() as u64,
            ..Extent::default()
        });
        disk.extend_from_slice(image);
    }
    fs::write(file, disk).unwrap();
    extents
}
