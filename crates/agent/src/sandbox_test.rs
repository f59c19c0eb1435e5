use super::*;

#[test]
fn kernel_parameters_are_named_as_by_sysctl() {
    assert_eq!(
        sysctl_path("net.ipv4.ip_forward").unwrap(),
        "net/ipv4/ip_forward"
    );
    assert_eq!(
        sysctl_path("net/ipv4/conf/eth0.1/x").unwrap(),
        "net/ipv4/conf/eth0.1/x"
    );
    assert_eq!(
        sysctl_path("net.ipv4.conf.eth0/1.x").unwrap(),
        "net/ipv4/conf/eth0.1/x"
    );
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        "",
        "x",
        "../x",
        "net/../../x",
        "net..x",
        "/etc/passwd",
        "net.",
        "kernel/./x",
    ] {
        assert_eq!(sysctl_path(name), None, "{name}");
    }
}
