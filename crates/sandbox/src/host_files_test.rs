use std::os::unix::fs::symlink;

use super::*;

#[test]
fn a_tree_is_read_with_links_as_links_and_parents_first() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("..2026")).unwrap();
    fs::write(dir.path().join("..2026/key"), "value").unwrap();
    symlink("..2026", dir.path().join("..data")).unwrap();
    symlink("..data/key", dir.path().join("key")).unwrap();

    let files = read_tree(dir.path()).unwrap();

    let seen: Vec<_> = files
        .iter()
        .map(|f| (f.path.as_str(), f.content.as_slice()))
        .collect();
    let want: [(&str, &[u8]); 4] = [
        ("..2026", b""),
        ("..data", b"..2026"),
        ("key", b"..data/key"),
        ("..2026/key", b"value"),
    ];
    assert_eq!(seen, want);
    assert_eq!(files[1].mode & 0o170_000, 0o120_000);
}

#[test]
fn a_file_over_the_limit_is_refused_by_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("big");
    File::create(&path)
        .unwrap()
        .set_len(MAX_FILE_BYTES + 1)
        .unwrap();
    let error = read_file(&path).unwrap_err();
    assert!(error.to_string().contains("big is larger"), "{error}");
}

#[test]
fn a_socket_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
    assert!(matches!(
        read_tree(dir.path()),
        Err(HostFilesError::Unsuitable(_))
    ));
}
