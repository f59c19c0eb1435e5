use super::*;

#[test]
fn crc32c_has_the_standard_check_value() {
    // The catalogue's check value is inverted at the end; EROFS leaves that out.
    assert_eq!(!crc32c(b"123456789"), 0xE306_9283);
}

#[test]
fn device_numbers_are_encoded_as_the_kernel_decodes_them() {
    assert_eq!(device_number(0, 0), Some(0));
    assert_eq!(device_number(1, 3), Some(0x103));
    assert_eq!(device_number(259, 0x12345), Some(0x1231_0345));
    assert_eq!(device_number(1 << 12, 0), None);
    assert_eq!(device_number(0, 1 << 20), None);
}
