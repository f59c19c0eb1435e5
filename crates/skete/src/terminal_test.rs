use super::*;

#[test]
fn ctrl_p_ctrl_q_detaches_also_in_two_reads() {
    let mut keys = DetachKeys::default();
    assert_eq!(keys.pass(b"abc\x10"), (b"abc".to_vec(), false));
    assert_eq!(keys.pass(b"\x11rest"), (Vec::new(), true));
}

#[test]
fn ctrl_p_alone_is_passed_on() {
    let mut keys = DetachKeys::default();
    assert_eq!(keys.pass(b"\x10x"), (b"\x10x".to_vec(), false));
    assert_eq!(keys.pass(b"\x10\x10\x11"), (b"\x10".to_vec(), true));
}
