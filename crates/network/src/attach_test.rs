use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use super::*;
use crate::testing::*;

#[test]
fn the_guest_gets_what_the_plugin_configured() {
    let link = Link::new();
    link.pod.run("ip link set eth0 mtu 1450");
    link.pod
        .run("ip route add 192.0.2.0/24 via 10.1.0.1 metric 7");
    link.pod
        .run("ip route add 198.51.100.0/24 dev eth0 src 10.1.0.2");

    let attachment = link.attach();

    let [eth0] = &attachment.interfaces[..] else {
        panic!("{attachment:?}")
    };
    assert_eq!(
        (eth0.name.as_str(), eth0.mac, eth0.mtu),
        ("eth0", POD_MAC, 1450)
    );
    let addresses: Vec<String> = eth0.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.1.0.2/24", "fd01::2/64"]);
    let routes: Vec<_> = eth0
        .routes
        .iter()
        .map(|r| (r.destination.to_string(), r.gateway, r.metric))
        .collect();
    let via: IpAddr = PEER_V4.into();
    assert_eq!(routes[0], ("198.51.100.0/24".into(), None, None));
    assert_eq!(eth0.routes[0].source, Some(POD_V4.into()));
    assert!(routes.contains(&("0.0.0.0/0".into(), Some(via), None)));
    assert!(routes.contains(&("192.0.2.0/24".into(), Some(via), Some(7))));
    assert!(
        routes
            .iter()
            .any(|r| r.0 == "::/0" && r.1 == Some(PEER_V6.into())),
        "{routes:?}"
    );
    assert_eq!(routes.len(), 4, "{routes:?}");
    let tap = link.pod.run(&format!("ip link show {}", eth0.tap_name));
    assert!(tap.contains("mtu 1450") && tap.contains("UP"), "{tap}");
}

#[test]
fn no_address_is_left_on_the_host() {
    let link = Link::new();
    let _attachment = link.attach();

    assert_eq!(link.pod.run("ip -oneline address show scope global"), "");
    assert_eq!(link.pod.run("ip -oneline address show scope link"), "");
    assert_eq!(link.pod.run("ip route"), "");
    assert_eq!(link.pod.run("ip -6 route"), "");
}

#[test]
fn the_guest_speaks_with_its_peer() {
    let link = Link::new();
    let mut guest = Guest::of(link.attach());

    guest.send(&ethernet(
        POD_MAC,
        0x0806,
        &arp_request(POD_MAC, POD_V4, PEER_V4),
    ));
    let reply = guest.receive_such(|frame| frame[12..14] == [8, 6] && frame[21] == 2);
    assert_eq!(reply[22..28], PEER_MAC.0);

    // The peer asks who has the guest's address before it answers.
    guest.send(&ethernet(
        POD_MAC,
        0x0800,
        &ipv4(POD_V4, PEER_V4, 1, &[], &echo_request(1, 1000)),
    ));
    let echo = guest.receive_such(|frame| {
        frame[12..14] == [8, 0] || (frame[12..14] == [8, 6] && frame[21] == 1)
    });
    let echo = if echo[13] == 6 {
        let mut reply = arp_request(POD_MAC, POD_V4, PEER_V4);
        reply[7] = 2;
        guest.send(&ethernet(POD_MAC, 0x0806, &reply));
        guest.receive_such(|frame| frame[12..14] == [8, 0])
    } else {
        echo
    };
    assert_eq!((echo[23], echo[34], echo.len()), (1, 0, 14 + 20 + 8 + 1000));

    let solicited: Ipv6Addr = "ff02::1:ff00:1".parse().unwrap();
    let rest = [&[0; 4][..], &PEER_V6.octets(), &[1, 1], &POD_MAC.0].concat();
    let mut frame = ethernet(POD_MAC, 0x86dd, &icmpv6(POD_V6, solicited, 135, &rest));
    frame[..6].copy_from_slice(&[0x33, 0x33, 0xff, 0, 0, 1]);
    // The peer's address is in use only some time after its link is: a host asks again, too.
    let answered = (0..10).any(|_| {
        guest.send(&frame);
        std::iter::from_fn(|| guest.receive())
            .any(|frame| frame[12..14] == [0x86, 0xdd] && frame[54] == 136)
    });
    assert!(answered);
}

#[test]
fn a_packet_of_the_mtu_passes_and_one_beyond_it_does_not() {
    let link = Link::new();
    let (mut guest, mut peer) = link.two_guests();
    let packet = |length: usize| {
        let payload = vec![0; length - 20];
        ethernet(POD_MAC, 0x0800, &ipv4(POD_V4, PEER_V4, 17, &[], &payload))
    };

    guest.send(&packet(1519));
    guest.send(&packet(1500));

    assert_eq!(peer.receive().expect("a frame").len(), 14 + 1500);
}

#[test]
fn every_interface_has_a_tap_and_loopback_and_what_is_down_have_none() {
    let link = Link::new();
    link.pod
        .run("ip link add net1 address 02:53:00:00:00:03 type veth peer name other");
    link.pod.run("ip link set net1 up");
    link.pod.run("ip address add 10.2.0.2/24 dev net1");

    let attachment = link.attach();

    let mut names: Vec<_> = attachment
        .interfaces
        .iter()
        .map(|i| i.name.as_str())
        .collect();
    names.sort();
    assert_eq!(names, ["eth0", "net1"]);
}

#[test]
fn a_namespace_with_loopback_only_has_no_interfaces() {
    let namespace = Namespace::new();
    let directory = tempfile::tempdir().unwrap();

    let attachment = attach(&namespace.path, &directory.path().join("state")).unwrap();

    assert!(attachment.interfaces.is_empty());
}

#[test]
fn attaching_again_after_a_crash_finds_what_was_taken() {
    let link = Link::new();
    let first = link.attach();
    let (addresses, routes) = (
        first.interfaces[0].addresses.clone(),
        first.interfaces[0].routes.clone(),
    );

    let held = attach(&link.pod.path, &link.state_file()).unwrap_err();
    assert!(matches!(held, Error::Held { .. }), "{held}");
    drop(first);

    let again = link.attach();
    assert_eq!(again.interfaces[0].addresses, addresses);
    assert_eq!(again.interfaces[0].routes, routes);
    let mut guest = Guest::of(again);
    guest.send(&ethernet(
        POD_MAC,
        0x0806,
        &arp_request(POD_MAC, POD_V4, PEER_V4),
    ));
    guest.receive_such(|frame| frame[12..14] == [8, 6] && frame[21] == 2);
}

#[test]
fn detaching_gives_the_addresses_back() {
    let link = Link::new();
    drop(link.attach());

    detach(&link.pod.path, &link.state_file()).unwrap();

    let addresses = link.pod.run("ip -brief address show dev eth0 scope global");
    assert!(
        addresses.contains("10.1.0.2/24") && addresses.contains("fd01::2/64"),
        "{addresses}"
    );
    assert!(link.pod.try_run("busybox ping -c 1 -W 1 10.1.0.1").0);
    assert!(!link.state_file().exists());
    detach(&link.pod.path, &link.state_file()).unwrap();
}

#[test]
fn a_path_that_is_no_namespace_is_one_clear_error() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");

    let missing = attach(Path::new("/run/netns/none-such"), &state).unwrap_err();
    let wrong = attach(Path::new("/proc/self/ns/uts"), &state).unwrap_err();

    assert!(chain(&missing).contains("open the network namespace /run/netns/none-such"));
    assert!(chain(&wrong).contains("enter the network namespace /proc/self/ns/uts"));
}

#[test]
fn the_calling_thread_stays_in_its_namespace() {
    let own = || fs::read_link("/proc/thread-self/ns/net").unwrap();
    let before = own();
    let link = Link::new();

    let _attachment = link.attach();

    assert_eq!(own(), before);
}

/// Prints how long an attach takes: `cargo test -p skete-network --release -- --ignored
/// --nocapture attaching_takes`.
#[test]
#[ignore = "a measurement"]
fn attaching_takes_milliseconds() {
    let mut times: Vec<_> = (0..20)
        .map(|_| {
            let link = Link::new();
            let start = Instant::now();
            let attachment = link.attach();
            let time = start.elapsed();
            drop(attachment);
            time
        })
        .collect();
    times.sort();
    println!(
        "attach: median {:?}, least {:?}, most {:?}",
        times[10], times[0], times[19]
    );
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
