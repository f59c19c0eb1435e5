use super::*;

fn one(name: &[u8], value: &[u8]) -> (Result<Vec<u8>, EntryError>, u64) {
    let mut dropped = 0;
    let set = [(name.to_vec(), value.to_vec())];
    (encode(&set, &Limits::default(), &mut dropped), dropped)
}

#[test]
fn an_attribute_is_encoded_with_its_namespace_as_a_number() {
    assert_eq!(one(b"user.a", b"xyz").0.unwrap(), b"\x01\x01\x03\0axyz");
    assert_eq!(
        one(b"system.posix_acl_access", b"v").0.unwrap(),
        b"\0\x02\x01\0v\0\0\0"
    );
}

#[test]
fn overlay_marks_and_unknown_namespaces_are_left_out_and_counted() {
    for name in [
        &b"trusted.overlay.redirect"[..],
        b"user.overlay.opaque",
        b"system.nfs4_acl",
    ] {
        assert_eq!(one(name, b"y"), (Ok(vec![]), 1));
    }
}

#[test]
fn names_that_linux_refuses_are_refused() {
    for name in [
        &b"user."[..],
        b"user.a\0b",
        &[b"user.".as_slice(), &[b'x'; 251]].concat(),
    ] {
        assert!(
            matches!(one(name, b"").0, Err(EntryError::BadXattr(_))),
            "{name:?}"
        );
    }
    assert!(matches!(
        one(b"user.a", &[0; 65_536]).0,
        Err(EntryError::BadXattr(_))
    ));
}

#[test]
fn a_set_over_the_limit_is_refused() {
    let set: Vec<_> = (0..4)
        .map(|n| (format!("user.{n}").into_bytes(), vec![0; 40_000]))
        .collect();
    let result = encode(&set, &Limits::default(), &mut 0);
    assert!(matches!(
        result,
        Err(EntryError::XattrsTooLarge { size: 160_024, .. })
    ));
}
