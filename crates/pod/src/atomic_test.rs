use super::*;

fn files(list: &[(&str, u32, &str)]) -> BTreeMap<String, VolumeFile> {
    let entry = |(name, mode, content): &(&str, u32, &str)| {
        let content = content.as_bytes().to_vec();
        (
            (*name).to_owned(),
            VolumeFile {
                mode: *mode,
                content,
            },
        )
    };
    list.iter().map(entry).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn files_are_laid_out_as_the_kubelet_does() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("volume");
    let wanted = files(&[("a", 0o644, "A"), ("sub/dir/b", 0o400, "B")]);
    assert!(write(&dir, &wanted, None).unwrap());

    let data = fs::read_link(dir.join("..data")).unwrap();
    let data = data.to_str().unwrap();
    assert!(data.starts_with("..20") && !data.contains('/'), "{data}");
    // Sorted: the digits of the time come before the d of data.
    assert_eq!(names(&dir), [data, "..data", "a", "sub"]);
    assert_eq!(fs::read_link(dir.join("a")).unwrap(), Path::new("..data/a"));
    assert_eq!(
        fs::read_link(dir.join("sub")).unwrap(),
        Path::new("..data/sub")
    );
    assert_eq!(fs::read_to_string(dir.join("sub/dir/b")).unwrap(), "B");
    assert_eq!(
        (mode(&dir.join("a")), mode(&dir.join("sub/dir/b"))),
        (0o644, 0o400)
    );
    assert_eq!((mode(&dir), mode(&dir.join("sub"))), (0o777, 0o755));
}

#[test]
fn an_update_swaps_all_files_at_once_and_clears_up() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("volume");
    write(
        &dir,
        &files(&[("gone", 0o644, "1"), ("kept", 0o644, "1")]),
        None,
    )
    .unwrap();
    let before = fs::read_link(dir.join("..data")).unwrap();

    let wanted = files(&[("kept", 0o644, "2"), ("new", 0o644, "2")]);
    assert!(write(&dir, &wanted, None).unwrap());

    let after = fs::read_link(dir.join("..data")).unwrap();
    assert_ne!(before, after);
    assert!(!dir.join(before).exists());
    assert_eq!(fs::read_to_string(dir.join("kept")).unwrap(), "2");
    assert_eq!(fs::read_to_string(dir.join("new")).unwrap(), "2");
    assert!(fs::symlink_metadata(dir.join("gone")).is_err());
    assert_eq!(names(&dir).len(), 4);
}

#[test]
fn what_has_not_changed_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("volume");
    let wanted = files(&[("a/b", 0o640, "1")]);
    assert!(write(&dir, &wanted, None).unwrap());
    let before = fs::read_link(dir.join("..data")).unwrap();
    assert!(!write(&dir, &wanted, None).unwrap());
    assert_eq!(fs::read_link(dir.join("..data")).unwrap(), before);
    assert!(
        write(&dir, &files(&[("a/b", 0o600, "1")]), None).unwrap(),
        "another mode"
    );
}

#[test]
fn a_write_that_was_cut_off_is_made_good_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("volume");
    write(&dir, &files(&[("a", 0o644, "1")]), None).unwrap();
    symlink("..nowhere", dir.join("..data_tmp")).unwrap();
    fs::create_dir(dir.join("..2026_01_01_00_00_00.half")).unwrap();
    let old = fs::read_link(dir.join("..data")).unwrap();
    fs::remove_dir_all(dir.join(old)).unwrap();

    assert!(write(&dir, &files(&[("a", 0o644, "2")]), None).unwrap());
    assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "2");
    assert_eq!(names(&dir).len(), 3, "{:?}", names(&dir));
}

#[test]
fn the_group_may_read_what_fs_group_gives_it() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("volume");
    // One's own group needs no privilege; the mode tells the rest.
    let group = fs::metadata(directory.path()).unwrap().gid();
    write(
        &dir,
        &files(&[("a", 0o400, "1"), ("sub/b", 0o400, "1")]),
        Some(group),
    )
    .unwrap();
    let data = dir.join("..data");
    assert_eq!(fs::metadata(dir.join("a")).unwrap().gid(), group);
    assert_eq!(
        (mode(&dir.join("a")), mode(&dir.join("sub/b"))),
        (0o440, 0o440)
    );
    assert_eq!((mode(&data), mode(&dir.join("sub"))), (0o2755, 0o2755));

    let empty = directory.path().join("empty");
    make_empty_dir(&empty, Some(group)).unwrap();
    assert_eq!(mode(&empty), 0o2777);
}
