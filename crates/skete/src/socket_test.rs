use super::*;

#[test]
fn who_listens_at_a_socket_is_known_while_it_lives() {
    let directory = tempfile::tempdir().unwrap();
    // Longer than a socket address holds.
    let deep = directory.path().join("d".repeat(100));
    std::fs::create_dir(&deep).unwrap();
    let path = deep.join("socket");
    crate::runtime().unwrap().block_on(async {
        assert_eq!(listener(&path).await, None);
        let listening = listen(&path).unwrap();
        assert_eq!(listener(&path).await, Some(std::process::id()));
        drop(listening);
        assert_eq!(listener(&path).await, None);
    });
}
