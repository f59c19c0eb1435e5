use super::*;

fn parse_words(line: &str) -> Parsed {
    parse(line.split_whitespace().map(OsString::from))
}

fn reason(line: &str) -> String {
    match parse_words(line) {
        Parsed::NotOurs(reason) => reason,
        other => panic!("{line}: {other:?}"),
    }
}

const UUID: &str = "00112233-4455-6677-8899-aabbccddeeff";
const UUID_BYTES: [u8; 16] = [
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
];

#[test]
fn what_containerd_asks_for_is_understood() {
    let convert = |uuid| {
        Parsed::Convert(Convert {
            image: "layer.erofs".into(),
            uuid,
        })
    };
    // containerd 2.2; 2.4; 2.4 with the options that its documentation recommends.
    for line in [
        "--tar=f --aufs --quiet -Enoinline_data -U UUID layer.erofs",
        "--tar=f --aufs --quiet -Enoinline_data -b4096 -U UUID layer.erofs",
        "--tar=f --aufs --quiet -Enoinline_data -b4096 -T0 --mkfs-time --sort=none -UUUID layer.erofs",
    ] {
        let line = line.replace("UUID", UUID).replace("-U0", "-U 0");
        assert_eq!(parse_words(&line), convert(Some(UUID_BYTES)), "{line}");
    }
    assert_eq!(parse_words("--tar=f --aufs layer.erofs"), convert(None));
    assert_eq!(parse_words("--tar=f --aufs -- layer.erofs"), convert(None));
}

#[test]
fn what_is_for_another_mkfs_is_told_apart_by_its_reason() {
    assert!(reason("--tar=i --aufs --quiet layer.erofs").contains("--tar=i"));
    assert!(reason("--quiet -Enoinline_data layer.erofs upper").contains("--tar=f"));
    assert!(reason("--tar=f --aufs layer.erofs upper").contains("one file, not 2"));
    assert!(reason("--tar=f --aufs").contains("one file, not 0"));
    assert!(reason("--tar=f layer.erofs").contains("--aufs"));
    assert!(reason("--tar=f --aufs -zlz4hc layer.erofs").contains("-zlz4hc"));
    assert!(reason("--tar=f --aufs -b 16384 layer.erofs").contains("16384"));
    assert!(reason("--tar=f --aufs -Eall-fragments layer.erofs").contains("all-fragments"));
    assert!(reason("--tar=f --aufs -T0 layer.erofs").contains("--mkfs-time"));
    assert!(reason("--tar=f --aufs -U random layer.erofs").contains("random"));
    assert!(reason("--tar=f --aufs layer.erofs -U").contains("-U"));
}

#[test]
fn a_uuid_is_sixteen_bytes_in_five_groups() {
    assert_eq!(parse_uuid(UUID), Some(UUID_BYTES));
    assert_eq!(parse_uuid(&UUID.to_uppercase()), Some(UUID_BYTES));
    for bad in [
        "",
        "00112233445566778899aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeef",
        "+0112233-4455-6677-8899-aabbccddeeff",
        "0011223g-4455-6677-8899-aabbccddeeff",
        "00112233-4455-6677-8899-aabbccddeeff-",
    ] {
        assert_eq!(parse_uuid(bad), None, "{bad}");
    }
}

#[test]
fn the_help_is_what_containerd_looks_for() {
    assert_eq!(parse_words("--help"), Parsed::Help);
    assert!(HELP.contains("--tar="));
}
