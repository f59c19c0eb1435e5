use super::*;

#[test]
fn both_families_are_understood() {
    assert_eq!(
        parse("tcp 127.0.0.1:80").unwrap(),
        "127.0.0.1:80".parse().unwrap()
    );
    assert_eq!(
        parse("tcp [::1]:443").unwrap(),
        "[::1]:443".parse().unwrap()
    );
}

#[test]
fn anything_else_is_refused() {
    for line in [
        "",
        "tcp",
        "tcp localhost:80",
        "udp 127.0.0.1:53",
        "tcp 127.0.0.1",
    ] {
        assert!(
            matches!(parse(line), Err(ForwardError::Malformed)),
            "{line}"
        );
    }
}
