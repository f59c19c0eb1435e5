use std::os::unix::net::UnixListener;

use super::*;

#[test]
fn the_socket_of_a_dead_shim_is_removed_and_that_of_a_living_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let bootstrap = directory.path().join("bootstrap.json");
    let told = format!(r#"{{"version":3,"address":"unix://{}"}}"#, socket.display());
    fs::write(&bootstrap, told).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();

    remove_socket(&bootstrap);
    assert!(socket.exists());

    drop(listener);
    remove_socket(&bootstrap);
    assert!(!socket.exists());
}

#[test]
fn nothing_but_a_socket_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let bootstrap = directory.path().join("bootstrap.json");
    fs::write(&file, "").unwrap();
    let told = format!(r#"{{"address":"unix://{}"}}"#, file.display());
    for text in [told.as_str(), "{}", "no JSON"] {
        fs::write(&bootstrap, text).unwrap();
        remove_socket(&bootstrap);
    }
    assert!(file.exists());
}
