use std::net::{Ipv4Addr, Ipv6Addr};

use super::{METADATA_V4, METADATA_V6, from_guest};
use crate::interface::Mac;
use crate::testing::*;

const OTHER_MAC: Mac = Mac([0x02, 0x53, 0, 0, 0, 0x66]);
const OTHER_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 66);
const OTHER_V6: Ipv6Addr = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 0x66);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const UDP: u8 = 17;

fn v4(source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
    ethernet(
        POD_MAC,
        0x0800,
        &ipv4(source, destination, UDP, &[], &[0; 40]),
    )
}

fn v6(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(
        POD_MAC,
        0x86dd,
        &ipv6(source, destination, next_header, payload),
    )
}

fn arp(sender_mac: Mac, sender: Ipv4Addr) -> Vec<u8> {
    ethernet(POD_MAC, 0x0806, &arp_request(sender_mac, sender, PEER_V4))
}

/// Neighbour discovery about `target`.
fn nd(source: Ipv6Addr, kind: u8, target: Ipv6Addr) -> Vec<u8> {
    let rest = [&[0; 4][..], &target.octets()].concat();
    ethernet(POD_MAC, 0x86dd, &icmpv6(source, ALL_NODES, kind, &rest))
}

/// A multicast listener report behind a router alert, or another header of that form.
fn behind_options(source: Ipv6Addr, header: u8, kind: u8) -> Vec<u8> {
    let payload = [&[58, 0, 5, 2, 0, 0, 1, 0, kind, 0, 0, 0][..], &[0; 24]].concat();
    v6(source, ALL_NODES, header, &payload)
}

/// Those of `frames` that reach the peer.
fn arriving(frames: &[(&'static str, Vec<u8>)]) -> Vec<&'static str> {
    let link = Link::new();
    let (mut guest, mut peer) = link.two_guests();
    let last = v4(POD_V4, Ipv4Addr::new(10, 1, 0, 200));
    for (_, frame) in frames {
        guest.send(frame);
    }
    guest.send(&last);
    let mut names = Vec::new();
    loop {
        let frame = peer.receive().expect("at least the last frame");
        if frame == last {
            return names;
        }
        let name = frames.iter().find(|(_, sent)| *sent == frame);
        names.push(name.unwrap_or_else(|| panic!("not sent: {frame:02x?}")).0);
    }
}

fn expect_all(frames: Vec<(&'static str, Vec<u8>)>) {
    let names: Vec<_> = frames.iter().map(|(name, _)| *name).collect();
    assert_eq!(arriving(&frames), names);
}

fn expect_none(frames: Vec<(&'static str, Vec<u8>)>) {
    assert_eq!(arriving(&frames), Vec::<&str>::new());
}

#[test]
fn what_the_guest_may_send_arrives() {
    let own_link_local = POD_MAC.link_local();
    expect_all(vec![
        ("ARP", arp(POD_MAC, POD_V4)),
        ("IPv4", v4(POD_V4, PEER_V4)),
        ("IPv4 multicast", v4(POD_V4, Ipv4Addr::new(224, 0, 0, 251))),
        (
            "IGMP with a router alert",
            ethernet(
                POD_MAC,
                0x0800,
                &ipv4(
                    POD_V4,
                    Ipv4Addr::new(224, 0, 0, 22),
                    2,
                    &[0x94, 4, 0, 0],
                    &[0; 16],
                ),
            ),
        ),
        ("IPv6", v6(POD_V6, PEER_V6, UDP, &[0; 40])),
        ("IPv6 fragment", v6(POD_V6, PEER_V6, 44, &[0; 40])),
        (
            "IPv6 link-local",
            v6(own_link_local, PEER_V6, UDP, &[0; 40]),
        ),
        ("solicitation", nd(POD_V6, 135, PEER_V6)),
        ("router solicitation", nd(own_link_local, 133, PEER_V6)),
        ("advertisement", nd(POD_V6, 136, POD_V6)),
        (
            "advertisement, link-local",
            nd(own_link_local, 136, own_link_local),
        ),
        (
            "duplicate detection",
            nd(Ipv6Addr::UNSPECIFIED, 135, POD_V6),
        ),
        (
            "duplicate detection, link-local",
            nd(Ipv6Addr::UNSPECIFIED, 135, own_link_local),
        ),
        ("listener report", behind_options(own_link_local, 0, 143)),
        (
            "listener report without address",
            behind_options(Ipv6Addr::UNSPECIFIED, 0, 143),
        ),
        ("echo", nd(POD_V6, 128, PEER_V6)),
    ]);
}

#[test]
fn frames_from_another_mac_address_do_not_arrive() {
    let payload = ipv4(POD_V4, PEER_V4, UDP, &[], &[0; 40]);
    expect_none(vec![
        ("IPv4", ethernet(OTHER_MAC, 0x0800, &payload)),
        ("the peer's", ethernet(PEER_MAC, 0x0800, &payload)),
        (
            "last octet",
            ethernet(Mac([0x02, 0x53, 0, 0, 0, 0]), 0x0800, &payload),
        ),
        (
            "first octet",
            ethernet(Mac([0x12, 0x53, 0, 0, 0, 1]), 0x0800, &payload),
        ),
        (
            "ARP",
            ethernet(OTHER_MAC, 0x0806, &arp_request(OTHER_MAC, POD_V4, PEER_V4)),
        ),
    ]);
}

#[test]
fn packets_from_another_address_do_not_arrive() {
    expect_none(vec![
        ("IPv4", v4(OTHER_V4, PEER_V4)),
        ("IPv4, the peer's", v4(PEER_V4, POD_V4)),
        ("IPv4, none", v4(Ipv4Addr::UNSPECIFIED, PEER_V4)),
        ("IPv6", v6(OTHER_V6, PEER_V6, UDP, &[0; 40])),
        (
            "IPv6 link-local",
            v6(OTHER_MAC.link_local(), PEER_V6, UDP, &[0; 40]),
        ),
        (
            "IPv6, none",
            v6(Ipv6Addr::UNSPECIFIED, ALL_NODES, UDP, &[0; 40]),
        ),
        (
            "IPv6, none, not to the link",
            v6(Ipv6Addr::UNSPECIFIED, PEER_V6, 58, &[133; 40]),
        ),
        ("ARP address", arp(POD_MAC, OTHER_V4)),
        ("ARP, the peer's address", arp(POD_MAC, PEER_V4)),
        ("ARP MAC", arp(OTHER_MAC, POD_V4)),
    ]);
}

#[test]
fn another_ones_neighbour_discovery_does_not_arrive() {
    expect_none(vec![
        ("advertisement", nd(POD_V6, 136, OTHER_V6)),
        (
            "duplicate detection",
            nd(Ipv6Addr::UNSPECIFIED, 135, OTHER_V6),
        ),
        (
            "advertisement without address",
            nd(Ipv6Addr::UNSPECIFIED, 136, POD_V6),
        ),
        (
            "router advertisement",
            nd(POD_MAC.link_local(), 134, POD_V6),
        ),
        ("redirect", nd(POD_MAC.link_local(), 137, POD_V6)),
        (
            "advertisement behind hop-by-hop options",
            behind_options(POD_V6, 0, 136),
        ),
        (
            "advertisement behind destination options",
            behind_options(POD_V6, 60, 136),
        ),
        (
            "listener query",
            behind_options(POD_MAC.link_local(), 0, 130),
        ),
        ("routing header", v6(POD_V6, PEER_V6, 43, &[58; 48])),
        (
            "no listener report behind hop-by-hop options",
            v6(
                POD_V6,
                ALL_NODES,
                0,
                &[&[60, 0, 5, 2, 0, 0, 1, 0, 143], &[0; 39][..]].concat(),
            ),
        ),
        (
            "a listener report behind more hop-by-hop options",
            v6(
                POD_V6,
                ALL_NODES,
                0,
                &[&[58, 1, 5, 2, 0, 0, 1, 0, 143], &[0; 39][..]].concat(),
            ),
        ),
        (
            "no router solicitation",
            v6(Ipv6Addr::UNSPECIFIED, ALL_NODES, UDP, &[133; 40]),
        ),
    ]);
}

#[test]
fn packets_to_the_metadata_addresses_do_not_arrive() {
    let source_route = [131, 7, 4, 169, 254, 169, 254, 0];
    let packet = ipv4(POD_V4, PEER_V4, UDP, &source_route, &[0; 40]);
    expect_none(vec![
        ("IPv4", v4(POD_V4, METADATA_V4)),
        ("IPv4 by a source route", ethernet(POD_MAC, 0x0800, &packet)),
        ("IPv6", v6(POD_V6, METADATA_V6, UDP, &[0; 40])),
    ]);
}

#[test]
fn tagged_foreign_and_broken_frames_do_not_arrive() {
    let packet = ipv4(POD_V4, PEER_V4, UDP, &[], &[0; 40]);
    let tagged = |tag: u16| ethernet(POD_MAC, tag, &[&[0, 5, 8, 0], &packet[..]].concat());
    let mut version_5 = packet.clone();
    version_5[0] = 0x55;
    let mut igmp_5 = ipv4(POD_V4, PEER_V4, 2, &[0x94, 4, 0, 0], &[0; 16]);
    igmp_5[0] = 0x56;
    let mut version_7 = ipv6(POD_V6, PEER_V6, UDP, &[0; 40]);
    version_7[0] = 0x70;
    let arp = |at: usize| {
        let mut packet = arp_request(POD_MAC, POD_V4, PEER_V4);
        packet[at] ^= 1;
        ethernet(POD_MAC, 0x0806, &packet)
    };
    expect_none(vec![
        ("802.1Q", tagged(0x8100)),
        ("802.1ad", tagged(0x88a8)),
        (
            "priority tag",
            ethernet(POD_MAC, 0x8100, &[&[0, 0, 8, 0], &packet[..]].concat()),
        ),
        ("spanning tree", ethernet(POD_MAC, 0x0026, &[0x42; 40])),
        ("LLDP", ethernet(POD_MAC, 0x88cc, &[0; 40])),
        ("MPLS", ethernet(POD_MAC, 0x8847, &packet)),
        ("IPv5", ethernet(POD_MAC, 0x0800, &version_5)),
        ("IGMP over IPv5", ethernet(POD_MAC, 0x0800, &igmp_5)),
        ("IPv7", ethernet(POD_MAC, 0x86dd, &version_7)),
        ("ARP of another hardware", arp(1)),
        ("ARP of another protocol", arp(3)),
        ("ARP of a longer MAC address", arp(4)),
        ("ARP of a longer address", arp(5)),
        ("IPv4 cut off", ethernet(POD_MAC, 0x0800, &packet[..12])),
        (
            "ARP cut off",
            ethernet(
                POD_MAC,
                0x0806,
                &arp_request(POD_MAC, POD_V4, PEER_V4)[..16],
            ),
        ),
        ("no payload", ethernet(POD_MAC, 0x0800, &[])),
    ]);
}

#[test]
fn an_interface_with_hundreds_of_addresses_has_a_filter_that_knows_them_all() {
    let own_v4: Vec<_> = (0..300)
        .map(|i| Ipv4Addr::from_bits(POD_V4.to_bits() + i))
        .collect();
    let own_v6: Vec<_> = (0..60)
        .map(|i| Ipv6Addr::from_bits(POD_V6.to_bits() + i))
        .collect();
    let program = from_guest(POD_MAC, &own_v4, &own_v6);
    assert!(
        program.len() / 8 <= 4096,
        "the kernel takes no more: {}",
        program.len() / 8
    );

    let link = Link::new();
    let batch: Vec<_> = (100..220).collect();
    for i in &batch {
        link.pod
            .run(&format!("ip address add 10.1.0.{i}/24 dev eth0"));
    }
    let (mut guest, mut peer) = link.two_guests();
    for i in batch {
        let frame = v4(Ipv4Addr::new(10, 1, 0, i), PEER_V4);
        guest.send(&frame);
        assert_eq!(peer.receive(), Some(frame));
    }
}
