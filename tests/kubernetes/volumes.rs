//! What the kubelet hands over.

use crate::cluster::{Namespace, pod};

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
        crate::cluster::BUSYBOX
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
fn a_raw_block_volume_is_a_disk_of_the_guest_and_keeps_its_data() {
    let space = Namespace::new("block");
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("disk.img");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    let device = Loop::new(&image);
    let volume = format!("block-{}", std::process::id());
    space.apply(&format!(
        "apiVersion: v1
kind: PersistentVolume
metadata: {{name: {volume}}}
spec:
  capacity: {{storage: 64Mi}}
  volumeMode: Block
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Delete
  storageClassName: {volume}
  local: {{path: {}}}
  nodeAffinity:
    required:
      nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/os, operator: In, values: [linux]}}]}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data}}
spec:
  storageClassName: {volume}
  volumeMode: Block
  accessModes: [ReadWriteOnce]
  resources: {{requests: {{storage: 64Mi}}}}
",
        device.0
    ));
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
    space.kubectl(&["delete", "pvc", "data"]);
    space.kubectl(&["delete", "pv", &volume, "--wait=false"]);
}

/// A loop device that is given back with this value.
struct Loop(String);

impl Loop {
    fn new(file: &std::path::Path) -> Self {
        let output = std::process::Command::new("losetup")
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
        let _ = std::process::Command::new("losetup")
            .args(["--detach", &self.0])
            .status();
    }
}
