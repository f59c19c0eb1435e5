use std::fs;
use std::process::Command;

use rustix::mount::{mount, mount_bind};

use super::*;

/// A kubelet's directory with the places of one volume of one Pod.
struct Kubelet {
    root: tempfile::TempDir,
}

impl Kubelet {
    fn new() -> Self {
        let kubelet = Self {
            root: tempfile::tempdir().unwrap(),
        };
        for place in [kubelet.global(), kubelet.volume(), kubelet.part()] {
            fs::create_dir_all(place).unwrap();
        }
        kubelet
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(below)
    }

    fn global(&self) -> PathBuf {
        self.path("plugins/kubernetes.io/local-volume/mounts/pv1")
    }

    fn volume(&self) -> PathBuf {
        self.path("pods/7c1/volumes/kubernetes.io~local-volume/pv1")
    }

    fn part(&self) -> PathBuf {
        self.path("pods/7c1/volume-subpaths/data/main/0")
    }

    /// As the kernel tells of it where the kubelet has mounted a device.
    fn mounts(&self, more: &str) -> Vec<Mount> {
        let line = |root: &str, point: &Path| {
            format!(
                "99 21 7:3 {root} {} rw,noatime - ext4 /dev/loop3 rw,seclabel,discard\n",
                point.display()
            )
        };
        let all = [
            line("/", &self.global()),
            line("/", &self.volume()),
            line("/a/b", &self.part()),
        ];
        mountinfo::parse(&format!("{}{more}", all.concat()))
    }

    fn volumes(&self, more: &str) -> Result<Vec<DiskVolume>, DiskVolumeError> {
        of_pod_in(&self.mounts(more), "7c1")
    }
}

#[test]
fn a_volume_on_a_device_is_found_with_all_places_where_the_kubelet_has_it() {
    let kubelet = Kubelet::new();
    let volumes = kubelet.volumes("").unwrap();
    assert_eq!(volumes.len(), 1);
    let volume = &volumes[0];
    assert_eq!((volume.device, &volume.point), ((7, 3), &kubelet.volume()));
    assert_eq!(volume.guest_options(), ["noatime", "discard"]);
    let others: Vec<_> = volume.others.iter().map(|mount| &mount.point).collect();
    assert_eq!(others, [&kubelet.global(), &kubelet.part()]);
    assert_eq!(of_pod_in(&kubelet.mounts(""), "8d2").unwrap(), []);
}

#[test]
fn a_device_that_the_node_mounts_elsewhere_is_refused_with_the_place() {
    let kubelet = Kubelet::new();
    let other_pod = kubelet.path("pods/8d2/volumes/kubernetes.io~local-volume/pv1");
    for place in [Path::new("/mnt/disk"), &other_pod] {
        let more = format!("98 21 7:3 / {} rw - ext4 /dev/loop3 rw\n", place.display());
        let refused = kubelet.volumes(&more);
        let Err(DiskVolumeError::Elsewhere { point, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(point, place);
    }
}

#[test]
fn a_file_system_that_the_guest_does_not_have_is_refused_by_its_name() {
    let kubelet = Kubelet::new();
    let point = kubelet.path("pods/7c1/volumes/kubernetes.io~csi/pv2/mount");
    let more = format!("97 21 7:4 / {} rw - xfs /dev/loop4 rw\n", point.display());
    let refused = kubelet.volumes(&more).unwrap_err();
    assert!(refused.to_string().contains("xfs"), "{refused}");
}

#[test]
fn what_is_no_whole_file_system_of_a_device_is_no_such_volume() {
    let kubelet = Kubelet::new();
    let point = kubelet.path("pods/7c1/volumes/kubernetes.io~csi/pv2/mount");
    let point = point.display();
    for line in [
        // A directory of the node's own disk.
        format!("97 21 254:0 /srv {point} rw - ext4 /dev/vda rw\n"),
        // Memory that no engine put there.
        format!("97 21 0:77 / {point} rw - tmpfs /dev/loop3 rw\n"),
        format!("97 21 0:78 / {point} rw - nfs4 server:/export rw\n"),
    ] {
        let volumes = kubelet.volumes(&line).unwrap();
        assert!(
            volumes.iter().all(|volume| volume.device == (7, 3)),
            "{line}"
        );
    }
}

/// A formatted loop device, given back with this value.
struct Formatted {
    device: PathBuf,
    mounts: Vec<PathBuf>,
}

impl Formatted {
    fn new(file: &Path) -> Self {
        File::create(file).unwrap().set_len(16 << 20).unwrap();
        let run = |command: &mut Command| {
            let output = command.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(file));
        let device = run(Command::new("losetup").args(["--find", "--show"]).arg(file));
        Self {
            device: device.trim().into(),
            mounts: Vec::new(),
        }
    }

    fn mount(&mut self, point: PathBuf) {
        mount(&self.device, &point, "ext4", MountFlags::NOATIME, None).unwrap();
        self.mounts.push(point);
    }

    fn bind(&mut self, from: &Path, point: PathBuf) {
        mount_bind(from, &point).unwrap();
        self.mounts.push(point);
    }
}

impl Drop for Formatted {
    fn drop(&mut self) {
        for point in self.mounts.iter().rev() {
            let _ = unmount(point, UnmountFlags::DETACH);
        }
        let mut losetup = Command::new("losetup");
        let _ = losetup.arg("--detach").arg(&self.device).status();
    }
}

#[tokio::test]
async fn stand_ins_take_the_places_of_the_hosts_mounts_and_tell_of_the_device() {
    let kubelet = Kubelet::new();
    let mut formatted = Formatted::new(&kubelet.path("image"));
    formatted.mount(kubelet.global());
    formatted.bind(&kubelet.global(), kubelet.volume());
    let find = || of_pod("7c1").unwrap().pop().unwrap();
    let before = find();

    before.leave_host().unwrap();

    let mounts = mountinfo::read().unwrap();
    assert!(!mounts.iter().any(|mount| mount.device == before.device));
    // The kubelet still sees mounts, and can make a container's `subPath` for this Pod alone.
    for place in [kubelet.global(), kubelet.volume()] {
        assert!(mounts.iter().any(|mount| mount.point == place), "{place:?}");
    }
    fs::create_dir(kubelet.volume().join("part")).unwrap();
    fs::create_dir(kubelet.global().join("part")).unwrap_err();
    let after = find();
    assert_eq!((after.device, &after.others[..]), (before.device, &[][..]));
    assert_eq!(after.guest_options(), before.guest_options());
}

#[tokio::test]
async fn a_device_that_is_claimed_can_neither_be_mounted_nor_claimed_once_more() {
    let kubelet = Kubelet::new();
    let formatted = Formatted::new(&kubelet.path("image"));
    let held = claim(&formatted.device, false).await.unwrap();
    let place = kubelet.path("pods");
    let mounted = mount(&formatted.device, &place, "ext4", MountFlags::empty(), None);
    assert_eq!(mounted, Err(rustix::io::Errno::BUSY));
    let again = claim(&formatted.device, false).await;
    assert!(matches!(again, Err(DiskVolumeError::Busy(_))), "{again:?}");
    drop(held);
    claim(&formatted.device, false).await.unwrap();
}
