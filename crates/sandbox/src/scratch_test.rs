use std::os::unix::fs::MetadataExt;

use skete_cri_api::DEFAULT_STORAGE_BYTES;

use super::*;
use crate::layout::Roots;

fn fsck(disk: &Path) -> bool {
    Command::new("fsck.ext4")
        .arg("-fn")
        .arg(disk)
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn a_scratch_disk_is_a_sound_file_system_and_mostly_holes() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("scratch.img");
    create(&dir.path().join("templates"), &disk, DEFAULT_STORAGE_BYTES).unwrap();
    let meta = disk.metadata().unwrap();
    assert_eq!(meta.len(), DEFAULT_STORAGE_BYTES);
    assert!(
        meta.blocks() * 512 < 8 << 20,
        "{} bytes on disk",
        meta.blocks() * 512
    );
    assert!(fsck(&disk));
}

#[test]
fn a_size_is_formatted_once_and_copied_alike() {
    let dir = tempfile::tempdir().unwrap();
    let templates = dir.path().join("templates");
    let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
    create(&templates, &one, 1).unwrap();
    create(&templates, &two, MIN_BYTES).unwrap();
    assert_eq!(fs::read_dir(&templates).unwrap().count(), 1);
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap());
    assert!(fsck(&two));
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let error = create(Path::new("/proc/none"), Path::new("/proc/disk"), 1).unwrap_err();
    assert!(error.to_string().contains("/proc/none"), "{error}");
}

#[test]
fn a_scratch_disk_is_counted_where_its_pods_logs_are_until_the_sandbox_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots {
        run: dir.path().join("r"),
        state: dir.path().join("s"),
    };
    let layout = Layout::new(&roots, "k8s.io", "one").unwrap();
    let logs = dir.path().join("logs");
    fs::create_dir(&logs).unwrap();
    layout.create().unwrap();
    create(&layout.scratch_templates(), &layout.scratch(), 1).unwrap();
    count(&layout, &logs).unwrap();
    let counted = fs::read_dir(&logs).unwrap().next().unwrap().unwrap();
    let blocks = counted.metadata().unwrap().blocks();
    assert_eq!(blocks, layout.scratch().metadata().unwrap().blocks());
    crate::cleanup::remove(&layout).unwrap();
    assert_eq!(fs::read_dir(&logs).unwrap().count(), 0);
}
