use super::*;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn each_line_of_several_containers_has_its_name() {
    let mut prefixer = Prefixer::new(vec!["a".into(), "b".into()]);

    assert_eq!(
        text(prefixer.pass(0, Stream::Stdout, b"one\ntw".to_vec())),
        "[a] one\n"
    );
    assert_eq!(
        text(prefixer.pass(1, Stream::Stdout, b"x\n".to_vec())),
        "[b] x\n"
    );
    assert_eq!(
        text(prefixer.pass(0, Stream::Stdout, b"o\n".to_vec())),
        "[a] two\n"
    );
    assert_eq!(text(prefixer.pass(0, Stream::Stderr, b"end".to_vec())), "");

    assert_eq!(prefixer.rest(), [(Stream::Stderr, b"[a] end\n".to_vec())]);
}

#[test]
fn a_single_containers_bytes_are_left_as_they_are() {
    let mut prefixer = Prefixer::new(Vec::new());
    let bytes = b"no\nnewline \xff".to_vec();
    assert_eq!(prefixer.pass(0, Stream::Stdout, bytes.clone()), bytes);
}
