use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;

fn regular(path: &str, content: &str) -> File {
    File {
        path: path.to_owned(),
        mode: 0o100_640,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        content: content.as_bytes().to_vec(),
        ..File::default()
    }
}

fn link(path: &str, target: &str) -> File {
    File {
        mode: 0o120_777,
        ..regular(path, target)
    }
}

fn put(volume: &mut FileVolume, directory: &Path, files: Vec<File>) -> Vec<PathBuf> {
    volume.add(files).unwrap();
    volume.swap(directory).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_plain_set_is_read_by_its_own_names() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = FileVolume::default();
    put(
        &mut volume,
        directory.path(),
        vec![regular("key", "one"), regular("sub/deep", "two")],
    );
    let key = directory.path().join("key");
    assert_eq!(fs::read_to_string(&key).unwrap(), "one");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o7777,
        0o640
    );
    assert_eq!(
        fs::read_to_string(directory.path().join("sub/deep")).unwrap(),
        "two"
    );
}

#[test]
fn a_new_set_takes_the_place_of_the_old_one_and_its_directory_stays() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = FileVolume::default();
    put(
        &mut volume,
        directory.path(),
        vec![regular("a", "1"), regular("b", "1")],
    );
    let inode = fs::metadata(directory.path()).unwrap().ino();
    let link_inode = fs::symlink_metadata(directory.path().join("a"))
        .unwrap()
        .ino();
    let trash = put(
        &mut volume,
        directory.path(),
        vec![regular("a", "2"), regular("c", "2")],
    );
    assert_eq!(fs::metadata(directory.path()).unwrap().ino(), inode);
    // The name's own link is not touched: only `..data` was.
    let kept = fs::symlink_metadata(directory.path().join("a"))
        .unwrap()
        .ino();
    assert_eq!(kept, link_inode);
    assert_eq!(fs::read_to_string(directory.path().join("a")).unwrap(), "2");
    assert!(fs::symlink_metadata(directory.path().join("b")).is_err());
    assert_eq!(fs::read_to_string(directory.path().join("c")).unwrap(), "2");
    assert_eq!(trash.len(), 1);
    assert!(trash[0].is_dir());
}

#[test]
fn who_watches_the_directory_sees_the_change() {
    use rustix::fs::inotify;
    let directory = tempfile::tempdir().unwrap();
    let mut volume = FileVolume::default();
    put(&mut volume, directory.path(), vec![regular("a", "1")]);
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    let moved = inotify::WatchFlags::MOVED_TO;
    inotify::add_watch(&watch, directory.path(), moved).unwrap();
    put(&mut volume, directory.path(), vec![regular("a", "2")]);
    let mut space = [std::mem::MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&watch, &mut space);
    let event = reader.next().unwrap();
    assert_eq!(event.file_name().unwrap().to_str(), Ok("..data"));
}

#[test]
fn the_kubelets_own_form_is_kept_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = FileVolume::default();
    let set = |stamp: &str, content: &str| {
        vec![
            link("..data", stamp),
            regular(&format!("{stamp}/key"), content),
            link("key", "..data/key"),
        ]
    };
    put(&mut volume, directory.path(), set("..2024_1", "one"));
    assert_eq!(names(directory.path()), ["..2024_1", "..data", "key"]);
    let trash = put(&mut volume, directory.path(), set("..2024_2", "two"));
    for path in trash {
        fs::remove_dir_all(path).unwrap();
    }
    assert_eq!(names(directory.path()), ["..2024_2", "..data", "key"]);
    assert_eq!(
        fs::read_to_string(directory.path().join("key")).unwrap(),
        "two"
    );
    // The same set again changes nothing.
    assert!(put(&mut volume, directory.path(), set("..2024_2", "two")).is_empty());
}

#[test]
fn a_set_in_several_parts_appears_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = FileVolume::default();
    volume.add(vec![regular("a", "1")]).unwrap();
    assert!(names(directory.path()).is_empty());
    put(&mut volume, directory.path(), vec![regular("b", "2")]);
    assert_eq!(names(directory.path()), ["..data", "..skete_1", "a", "b"]);
}

#[test]
fn paths_that_lead_out_and_devices_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut volume = FileVolume::default();
    for path in ["../x", "/x", "a/../../x", ""] {
        volume.add(vec![regular(path, "x")]).unwrap();
        let result = volume.swap(directory.path());
        assert!(matches!(result, Err(VolumeError::BadPath(_))), "{path}");
    }
    let mut device = regular("null", "");
    device.mode = 0o020_666;
    volume.add(vec![device]).unwrap();
    assert!(matches!(
        volume.swap(directory.path()),
        Err(VolumeError::BadType { .. })
    ));
    for target in ["/etc", "..", "../..", "a/b", "plain"] {
        volume.add(vec![link("..data", target)]).unwrap();
        let result = volume.swap(directory.path());
        assert!(matches!(result, Err(VolumeError::BadData(_))), "{target}");
    }
}

#[test]
fn links_that_a_container_has_put_in_the_way_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut volume = FileVolume::default();
    symlink(outside.path(), directory.path().join("..skete_1")).unwrap();
    symlink(outside.path(), directory.path().join("..data")).unwrap();
    symlink(outside.path(), directory.path().join("..skete_new")).unwrap();
    put(
        &mut volume,
        directory.path(),
        vec![regular("key", "x"), link("out", "/etc")],
    );
    assert!(names(outside.path()).is_empty());
    assert_eq!(
        fs::read_to_string(directory.path().join("key")).unwrap(),
        "x"
    );
}

#[test]
fn an_entry_below_a_link_of_the_set_is_refused() {
    let outside = tempfile::tempdir().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut volume = FileVolume::default();
    let target = outside.path().to_str().unwrap();
    volume
        .add(vec![link("sub", target), regular("sub/file", "x")])
        .unwrap();
    assert!(volume.swap(directory.path()).is_err());
    assert!(names(outside.path()).is_empty());
}

#[test]
fn more_than_the_bound_is_refused() {
    let mut volume = FileVolume::default();
    let mut large = regular("a", "");
    large.content = vec![0; MAX_CONTENT + 1];
    assert!(matches!(
        volume.add(vec![large]),
        Err(VolumeError::TooLarge)
    ));
    assert!(volume.pending.is_empty());
}
