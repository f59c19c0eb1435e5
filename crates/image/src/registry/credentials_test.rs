use super::*;

use std::os::unix::fs::PermissionsExt;

fn config(text: &str) -> (tempfile::TempDir, DockerConfig) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, text).unwrap();
    let config = DockerConfig::read(&path).unwrap();
    (folder, config)
}

fn password(user: &str, password: &str) -> Option<Credentials> {
    Some(Credentials::Password {
        user: user.into(),
        password: password.into(),
    })
}

#[test]
fn entries_are_found_by_host_in_all_the_forms_docker_wrote() {
    let (_folder, config) = config(
        r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "YTpi"},
            "registry.example:5000": {"auth": "dXNlcjpwYXNzOndvcmQ="},
            "https://old.example/v2/": {"username": "u", "password": "p"},
            "token.example": {"auth": "YTpi", "identitytoken": "refresh"},
            "empty.example": {}
        }, "HttpHeaders": {"x": "y"}}"#,
    );
    assert_eq!(config.get("docker.io").unwrap(), password("a", "b"));
    assert_eq!(
        config.get("registry.example:5000").unwrap(),
        password("user", "pass:word")
    );
    assert_eq!(config.get("old.example").unwrap(), password("u", "p"));
    assert_eq!(
        config.get("token.example").unwrap(),
        Some(Credentials::Identity("refresh".into()))
    );
    assert_eq!(config.get("empty.example").unwrap(), None);
    assert_eq!(config.get("registry.example").unwrap(), None);
}

#[test]
fn a_wrong_entry_names_file_and_registry_and_not_the_secret() {
    let (_folder, config) = config(r#"{"auths": {"a.example": {"auth": "c2VjcmV0"}}}"#);
    let line = config.get("a.example").unwrap_err().to_string();
    assert!(
        line.contains("config.json") && line.contains("docker login a.example"),
        "{line}"
    );
    assert!(!line.contains("c2VjcmV0"), "{line}");
}

#[test]
fn a_file_that_is_not_json_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, "{").unwrap();
    let line = DockerConfig::read(&path).unwrap_err().to_string();
    assert!(line.contains("config.json"), "{line}");
    assert!(
        DockerConfig::read(&folder.path().join("none"))
            .unwrap()
            .get("x")
            .unwrap()
            .is_none()
    );
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let shown = format!(
        "{:?} {:?}",
        password("user", "hidden"),
        Credentials::Identity("hidden".into())
    );
    assert!(
        shown.contains("user") && !shown.contains("hidden"),
        "{shown}"
    );
}

#[test]
fn a_helper_name_with_a_path_is_refused() {
    let (_folder, config) = config(r#"{"credsStore": "../../bin/sh"}"#);
    let error = config.get("a.example").unwrap_err();
    assert!(matches!(error, Error::HelperName { .. }), "{error}");
}

/// Helpers are found on the PATH, which belongs to the whole process, so the real one is run
/// below it.
fn helper(script: &str, key: &str) -> std::io::Result<(bool, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("docker-credential-test");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    loop {
        // A child forked by another test may hold the file open for writing until it execs.
        match run_helper(program.to_str().unwrap(), key) {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
            result => return result,
        }
    }
}

#[test]
fn a_helper_gets_the_registry_on_its_input_and_get_as_its_argument() {
    let (success, answer) = helper(r#"read -r key; echo "$1 $key""#, "a.example\n").unwrap();
    assert!(success);
    assert_eq!(answer, b"get a.example\n");
}

#[test]
fn a_helper_that_fails_has_its_words_kept() {
    let (success, answer) = helper(
        "echo 'credentials not found in native keychain'; exit 1",
        "a",
    )
    .unwrap();
    assert!(!success);
    assert!(answer.starts_with(b"credentials not found"));
}
