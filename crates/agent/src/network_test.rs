use super::*;

#[test]
fn cidr_forms_of_both_families_are_understood() {
    assert_eq!(
        parse_cidr("10.1.2.3/24").unwrap(),
        ("10.1.2.3".parse().unwrap(), 24)
    );
    assert_eq!(parse_cidr("::/0").unwrap(), ("::".parse().unwrap(), 0));
    for bad in [
        "10.1.2.3",
        "10.1.2.3/33",
        "fd00::1/129",
        "x/8",
        "10.1.2.3/-1",
    ] {
        assert!(
            matches!(parse_cidr(bad), Err(NetworkError::BadCidr(_))),
            "{bad}"
        );
    }
}

#[test]
fn names_the_kernel_would_not_take_are_refused() {
    assert!(is_name("eth0"));
    for bad in ["", ".", "..", "a/b", "a b", "sixteen-bytes-xx"] {
        assert!(!is_name(bad), "{bad}");
    }
}

#[test]
fn an_interface_is_found_by_its_hardware_address_in_either_case() {
    let net = tempfile::tempdir().unwrap();
    fs::create_dir(net.path().join("eth0")).unwrap();
    fs::write(net.path().join("eth0/address"), "02:aa:bb:cc:dd:01\n").unwrap();
    let found = find_by_mac(net.path(), "02:AA:BB:CC:DD:01");
    assert_eq!(found, Some("eth0".to_owned()));
    assert_eq!(find_by_mac(net.path(), ""), None);
}
