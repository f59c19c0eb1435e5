use super::*;
use crate::netns;
use crate::testing::Namespace;

#[test]
fn the_bridge_is_made_once_and_listens_to_no_pod_as_its_router() {
    let host = Namespace::new();
    netns::inside(&host.path, ensure).unwrap().unwrap();
    netns::inside(&host.path, ensure).unwrap().unwrap();

    let conf = format!("/proc/sys/net/ipv6/conf/{BRIDGE}");
    assert_eq!(
        host.run(&format!("cat {conf}/accept_ra {conf}/accept_dad")),
        "0\n0\n"
    );
    assert!(
        host.run(&format!("ip -details link show {BRIDGE}"))
            .contains("bridge forward_delay")
    );
}

#[test]
fn a_host_that_listens_to_routers_goes_on_doing_so() {
    let host = Namespace::new();
    host.run("ip link add up0 type veth peer name deaf0");
    let conf = "/proc/sys/net/ipv6/conf";
    let deafen = || fs::write(format!("{conf}/deaf0/accept_ra"), "0");
    netns::inside(&host.path, deafen).unwrap().unwrap();

    netns::inside(&host.path, ensure).unwrap().unwrap();

    let settings = format!("cat {conf}/up0/accept_ra {conf}/deaf0/accept_ra");
    assert_eq!(host.run(&settings), "2\n0\n");
}
