#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn the_directory_comes_first_and_once() {
    let directory = Path::new("/opt/skete/current/libexec");
    assert_eq!(
        with_first(directory, "/a:/opt/skete/current/libexec:/b"),
        "/opt/skete/current/libexec:/a:/b"
    );
    let text = drop_in(directory, None);
    let line = text.lines().last().unwrap();
    assert_eq!(
        line,
        "Environment=\"PATH=/opt/skete/current/libexec:/usr/local/sbin:/usr/local/bin:/usr/sbin:\
         /usr/bin:/sbin:/bin\""
    );
    let text = drop_in(Path::new("/a%b"), Some("/c"));
    assert!(text.ends_with("Environment=\"PATH=/a%%b:/c\"\n"), "{text}");
}

#[test]
fn the_path_of_a_units_environment_is_found() {
    assert_eq!(path_of_environment(""), None);
    assert_eq!(path_of_environment("A=1 \"B=2\"\n"), None);
    assert_eq!(
        path_of_environment("PATH=/a A=1 \"PATH=/b:/c\"\n"),
        Some("/b:/c".to_owned())
    );
}
