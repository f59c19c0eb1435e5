use super::*;

fn joined(path: &str) -> Result<String, EntryError> {
    let parts = of_entry(path.as_bytes(), 4095)?;
    Ok(String::from_utf8(parts.join(&b'/')).unwrap())
}

#[test]
fn paths_are_cleaned_into_the_root() {
    for (path, clean) in [
        ("a/b", "a/b"),
        ("/a//b/", "a/b"),
        ("./a/./b", "a/b"),
        ("a/../b", "b"),
        (".", ""),
        ("/", ""),
        ("./", ""),
        ("a/..", ""),
        ("...", "..."),
    ] {
        assert_eq!(joined(path).as_deref(), Ok(clean), "{path}");
    }
}

#[test]
fn paths_that_lead_out_are_refused() {
    for path in ["..", "../a", "/../a", "a/../../b", "./.."] {
        assert_eq!(joined(path), Err(EntryError::Escapes), "{path}");
    }
    let target = of_target(b"../x", 4095);
    assert_eq!(
        target,
        Err(EntryError::LinkTargetEscapes(Name::new(b"../x")))
    );
}

#[test]
fn paths_that_no_kernel_takes_are_refused() {
    assert_eq!(joined(""), Err(EntryError::BadName));
    assert_eq!(joined("a\0b"), Err(EntryError::BadName));
    assert_eq!(joined(&"x".repeat(256)), Err(EntryError::NameTooLong(256)));
    assert!(joined(&"x".repeat(255)).is_ok());
    let long = "x/".repeat(2048);
    assert_eq!(
        joined(&long),
        Err(EntryError::PathTooLong {
            length: 4096,
            limit: 4095
        })
    );
}
