use super::*;

#[test]
fn a_header_has_the_layout_of_the_specification() {
    let header = Header {
        src_cid: 0x0102_0304_0506_0708,
        dst_cid: 2,
        src_port: 0x1112_1314,
        dst_port: 0x2122_2324,
        len: 0x3132_3334,
        kind: TYPE_STREAM,
        op: Op::Data as u16,
        flags: 3,
        buf_alloc: 0x4142_4344,
        fwd_cnt: 0x5152_5354,
    };

    let bytes = header.to_bytes();

    assert_eq!(bytes[..8], [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(bytes[8..16], [2, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[16..20], [0x14, 0x13, 0x12, 0x11]);
    assert_eq!(bytes[20..24], [0x24, 0x23, 0x22, 0x21]);
    assert_eq!(bytes[24..28], [0x34, 0x33, 0x32, 0x31]);
    assert_eq!(bytes[28..32], [1, 0, 5, 0]);
    assert_eq!(bytes[32..36], [3, 0, 0, 0]);
    assert_eq!(bytes[36..40], [0x44, 0x43, 0x42, 0x41]);
    assert_eq!(bytes[40..], [0x54, 0x53, 0x52, 0x51]);
    assert_eq!(Header::from_bytes(&bytes), header);
}

#[test]
fn every_operation_is_read_back_from_its_number_and_no_other_number_is_one() {
    for raw in 0..=u16::MAX {
        match Op::from_raw(raw) {
            Some(op) => assert_eq!(op as u16, raw),
            None => assert!(raw == 0 || raw > 7),
        }
    }
}

#[test]
fn a_reset_goes_back_to_where_the_packet_came_from() {
    let header = Header {
        src_cid: 3,
        dst_cid: 2,
        src_port: 10,
        dst_port: 20,
        len: 99,
        buf_alloc: 1,
        ..Header::default()
    };

    let reset = header.reset();

    assert_eq!((reset.src_cid, reset.dst_cid), (2, 3));
    assert_eq!((reset.src_port, reset.dst_port), (20, 10));
    assert_eq!((reset.len, reset.op), (0, Op::Reset as u16));
}
