//! What the kubelet hands over.

use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::cluster::{AGNHOST, BUSYBOX, Namespace, POSTGRES, apply, cluster, eventually, pod};
use crate::failures::{kill_shim, sandbox_of};

/// `O_EXCL` of `open(2)`: a block device that is mounted or claimed cannot be opened so.
const EXCLUSIVE: i32 = 0o200;

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_config_map_is_kept_current_in_the_guest() {
    let space = Namespace::new("current");
    space.kubectl(&[
        "create",
        "configmap",
        "settings",
        "--from-literal=a=1",
        "--from-literal=b=1",
    ]);
    space.apply(&pod(
        "reader",
        "sleep 1000",
        "volumes: [{name: settings, configMap: {name: settings}}]",
        "volumeMounts: [{name: settings, mountPath: /settings}]",
    ));
    space.ready("reader");
    assert_eq!(space.exec("reader", "cat /settings/a /settings/b"), "11");
    space.kubectl(&[
        "patch",
        "configmap",
        "settings",
        "--type=json",
        r#"-p=[{"op":"replace","path":"/data/a","value":"2"},{"op":"remove","path":"/data/b"}]"#,
    ]);
    // The kubelet itself takes up to a minute and more.
    space.exec_until(
        "reader",
        "[ $(cat /settings/a) = 2 ] && [ ! -e /settings/b ]",
    );
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_file_of_the_host_that_the_administrator_allows_is_copied() {
    let space = Namespace::new("allowed");
    space.apply(&pod(
        "reader",
        "echo changed > /version; cat /version",
        "restartPolicy: Never\nvolumes: [{name: version, hostPath: {path: /etc/debian_version}}]",
        "volumeMounts: [{name: version, mountPath: /version}]",
    ));
    space.wait("pod", "reader", |pod| pod["status"]["phase"] == "Succeeded");
    assert_eq!(space.kubectl(&["logs", "reader"]), "changed\n");
    assert_ne!(
        std::fs::read_to_string("/etc/debian_version").unwrap(),
        "changed\n"
    );
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn containers_share_an_empty_dir_its_parts_and_their_memory() {
    let space = Namespace::new("shared");
    let mut manifest = pod(
        "two",
        "echo word > /data/part/file; echo shared > /dev/shm/file; sleep 1000",
        "volumes: [{name: data, emptyDir: {}}, {name: ram, emptyDir: {medium: Memory, sizeLimit: 4Mi}}]",
        "volumeMounts: [{name: data, mountPath: /data/part, subPath: part}, {name: ram, mountPath: /ram}]",
    );
    manifest.push_str(&format!(
        "  - name: other\n    image: {}\n    command: [sleep, '1000']\n    \
         volumeMounts: [{{name: data, mountPath: /all}}]\n",
        BUSYBOX
    ));
    space.apply(&manifest);
    space.ready("two");
    let other = |script| space.kubectl(&["exec", "two", "-c", "other", "--", "sh", "-c", script]);
    assert_eq!(other("cat /all/part/file /dev/shm/file"), "word\nshared\n");
    let size = space.exec("two", "df -k /ram | awk 'END { print $2 }'");
    assert_eq!(size.trim(), "4096");
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn an_image_is_a_volume_that_can_be_read() {
    let space = Namespace::new("image");
    space.apply(&pod(
        "reader",
        "sleep 1000",
        &format!("volumes: [{{name: tools, image: {{reference: '{AGNHOST}'}}}}, {{name: small, image: {{reference: '{BUSYBOX}'}}}}]"),
        "volumeMounts: [{name: tools, mountPath: /tools}, {name: small, mountPath: /etc/small, subPath: etc}]",
    ));
    space.ready("reader");
    // Two layers of one image, and the only one of another.
    space.exec(
        "reader",
        "test -x /tools/agnhost && test -x /tools/bin/busybox",
    );
    assert!(
        space
            .exec("reader", "cat /etc/small/passwd")
            .contains("root")
    );
    let mounts = space.exec("reader", "grep -E ' (/tools|/etc/small) ' /proc/mounts");
    assert!(
        mounts.contains("overlay") && mounts.contains("erofs"),
        "{mounts}"
    );
    space.exec("reader", "! touch /tools/file");
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_raw_block_volume_is_a_disk_of_the_guest_and_keeps_its_data() {
    let space = Namespace::new("block");
    let volume = LocalVolume::new("block", 64, "Block");
    volume.claim(&space, "data");
    let user = |script: &str| {
        let manifest = pod(
            "user",
            script,
            "restartPolicy: Never\nvolumes: [{name: data, persistentVolumeClaim: {claimName: data}}]",
            "volumeDevices: [{name: data, devicePath: /dev/data}]",
        );
        space.apply(&manifest);
        let ended = space.wait("pod", "user", |pod| {
            ["Succeeded", "Failed"]
                .iter()
                .any(|phase| pod["status"]["phase"] == *phase)
        });
        let log = space.kubectl(&["logs", "user"]);
        space.kubectl(&["delete", "pod", "user"]);
        assert_eq!(ended["status"]["phase"], "Succeeded", "{log}");
        log
    };
    user("test -b /dev/data && echo kept | dd of=/dev/data bs=512 conv=sync && sync");
    assert!(user("head -c 4 /dev/data").contains("kept"));
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn postgresql_keeps_its_data_on_a_volume_that_the_host_does_not_mount() {
    let space = Namespace::new("postgres");
    let volume = LocalVolume::new("postgres", 256, "Filesystem");
    space.apply(&format!(
        "apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  serviceName: db
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec:
      runtimeClassName: skete
      securityContext: {{runAsUser: 999, runAsGroup: 999, fsGroup: 999, fsGroupChangePolicy: OnRootMismatch}}
      containers:
      - name: main
        image: {POSTGRES}
        command: [sh, -c, '[ -s $PGDATA/PG_VERSION ] || initdb -U postgres; exec postgres -k /tmp']
        env: [{{name: PGDATA, value: /var/lib/postgresql/data/main}}]
        volumeMounts: [{{name: data, mountPath: /var/lib/postgresql/data}}]
        readinessProbe: {{exec: {{command: [psql, -h, /tmp, -U, postgres, -c, 'select 1']}}, timeoutSeconds: 30}}
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec:
      storageClassName: {}
      accessModes: [ReadWriteOnce]
      resources: {{requests: {{storage: 200Mi}}}}
",
        volume.name
    ));
    let psql =
        |query: &str| space.exec("db-0", &format!("psql -h /tmp -U postgres -tAc '{query}'"));
    space.ready("db-0");
    psql("create table kept (word text)");
    psql("insert into kept values ($$word$$)");
    volume.assert_not_mounted();

    space.kubectl(&["delete", "pod", "db-0"]);
    space.ready("db-0");
    assert_eq!(psql("select word from kept"), "word\n");
    volume.assert_not_mounted();

    space.kubectl(&["delete", "statefulset", "db"]);
    volume.assert_sound();
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_volume_of_a_block_device_belongs_to_one_pod_and_stays_off_the_host() {
    let space = Namespace::alone("disk");
    let volume = LocalVolume::new("disk", 64, "Filesystem");
    volume.claim(&space, "data");
    let user = |name: &str, group: u32| {
        space.apply(&pod(
            name,
            "date >> /part/starts; sync; sleep 1000",
            &format!(
                "securityContext: {{runAsUser: 1000, fsGroup: {group}}}\n\
                 volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]"
            ),
            "volumeMounts: [{name: data, mountPath: /data}, {name: data, mountPath: /part, subPath: a/b}]",
        ));
    };
    user("first", 2000);
    space.ready("first");
    volume.assert_not_mounted();
    // The kubelet looks at what it has mounted.
    assert!(cluster(&["restart", "kubelet"]).status().unwrap().success());
    user("second", 3000);
    space.event("second", "is in use on this node, by another Pod");
    volume.assert_not_mounted();
    assert_eq!(space.exec("first", "wc -l < /data/a/b/starts"), "1\n");
    // The kubelet gives the second Pod what stands in for the volume.
    space.kubectl(&["delete", "pod", "first"]);
    space.ready("second");
    assert_eq!(space.exec("second", "wc -l < /data/a/b/starts"), "2\n");
    assert_eq!(space.exec("second", "stat -c %g /data/a/b"), "3000\n");
    kill_shim(&sandbox_of(&space, "second"));
    space.exec_until("second", "[ $(wc -l < /part/starts) = 3 ]");
    space.kubectl(&["delete", "pod", "second"]);
    volume.assert_sound();
}

/// A PersistentVolume on a loop device of its own, with a storage class of its name.
struct LocalVolume {
    name: String,
    mebibytes: u32,
    mode: &'static str,
    device: Loop,
    _directory: tempfile::TempDir,
}

impl LocalVolume {
    fn new(name: &str, mebibytes: u32, mode: &'static str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("disk.img");
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(u64::from(mebibytes) << 20).unwrap();
        let volume = Self {
            name: format!("{name}-{}", std::process::id()),
            mebibytes,
            mode,
            device: Loop::new(&image),
            _directory: directory,
        };
        let manifest = format!(
            "apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}}}
spec:
  capacity: {{storage: {mebibytes}Mi}}
  volumeMode: {mode}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: {name}
  local: {{path: {device}}}
  nodeAffinity:
    required:
      nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/os, operator: In, values: [linux]}}]}}]
",
            name = volume.name,
            device = volume.device.0,
        );
        apply(&mut cluster(&["kubectl", "apply", "-f", "-"]), &manifest);
        volume
    }

    /// Makes a claim that it answers.
    fn claim(&self, space: &Namespace, claim: &str) {
        space.apply(&format!(
            "apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {claim}}}
spec:
  storageClassName: {}
  volumeMode: {}
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: {}Mi}}}}
",
            self.name, self.mode, self.mebibytes
        ));
    }

    /// The lines of `/proc/self/mountinfo` whose file system is on the device.
    fn mounts(&self) -> Vec<String> {
        let sys = format!("/sys/class/block/{}/dev", &self.device.0["/dev/".len()..]);
        let numbers = std::fs::read_to_string(sys).unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let is_on_it = |line: &&str| line.split(' ').nth(2) == Some(numbers.trim_end());
        mounts.lines().filter(is_on_it).map(str::to_owned).collect()
    }

    /// Opens the device if nobody else has it.
    fn claim_device(&self) -> std::io::Result<std::fs::File> {
        let mut options = std::fs::File::options();
        options.read(true).custom_flags(EXCLUSIVE);
        options.open(&self.device.0)
    }

    /// Neither is it mounted, nor can it be.
    fn assert_not_mounted(&self) {
        assert_eq!(self.mounts(), [""; 0]);
        let busy = std::io::ErrorKind::ResourceBusy;
        assert_eq!(
            self.claim_device().err().map(|error| error.kind()),
            Some(busy)
        );
    }

    /// Its file system was unmounted as it should be, once the kubelet has let go of it.
    fn assert_sound(&self) {
        eventually(Duration::from_secs(60), || {
            self.claim_device()
                .map_err(|error| move || format!("{}: {error}", self.device.0))
        });
        let output = Command::new("e2fsck")
            .args(["-f", "-n", &self.device.0])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("journal recovery"), "{said}");
    }
}

impl Drop for LocalVolume {
    fn drop(&mut self) {
        let _ = cluster(&["kubectl", "delete", "pv", &self.name, "--wait=false"])
            .stdout(Stdio::null())
            .status();
    }
}

/// A loop device that is given back with this value.
struct Loop(String);

impl Loop {
    fn new(file: &std::path::Path) -> Self {
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(file)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        Self(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}
