use super::*;

#[test]
fn a_list_returns_what_was_pushed_across_segments() {
    let mut list = List::new();
    let count = 3 * SEGMENT as u32 + 5;
    for n in 0..count {
        assert_eq!(list.push(u64::from(n) * 3), n);
    }
    *list.get_mut(SEGMENT as u32) = 7;
    assert_eq!(list.len(), count);
    assert_eq!(list.get(SEGMENT as u32), 7);
    assert_eq!(list.get(count - 1), u64::from(count - 1) * 3);
}

#[test]
fn byte_strings_of_every_length_come_back() {
    let mut bytes = Bytes::new();
    let strings: Vec<Vec<u8>> = (0..600)
        .chain([4095, 65_000, 65_000, 1])
        .map(|n| vec![n as u8; n])
        .collect();
    let at: Vec<u32> = strings.iter().map(|s| bytes.push(s)).collect();
    for (string, at) in strings.iter().zip(at) {
        assert_eq!(bytes.get(at), string);
    }
}
