//! The filters at a Pod's tap, as classic BPF programs for the kernel's `cls_bpf`.
//!
//! Classic BPF because one program can hold the whole rule: it sees the frame from its first
//! byte, sees a VLAN tag that the kernel has taken off, and a load beyond the end of a frame ends
//! the program with "no match". u32 sees none of these, and nftables' ingress hook runs after
//! traffic control has already taken the frame away.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::interface::Mac;

/// The link-local addresses under which clouds serve a machine's credentials.
pub(crate) const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// As [`METADATA_V4`], for IPv6.
pub(crate) const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

// Operations of classic BPF, linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

/// `SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT`, linux/filter.h.
const VLAN_TAG_PRESENT: u32 = 0xffff_f000 + 48;

/// For `cls_bpf`: not this filter's frame; the next one is asked.
const NO_MATCH: u32 = 0;
/// For `cls_bpf`: this filter's frame; its actions follow.
const MATCH: u32 = u32::MAX;
/// For `cls_bpf` in direct action mode: `TC_ACT_SHOT`.
const SHOT: u32 = 2;

// Offsets in an Ethernet frame.
const SOURCE_MAC: u32 = 6;
const ETHERTYPE: u32 = 12;
const PAYLOAD: u32 = 14;
const V4_PROTOCOL: u32 = PAYLOAD + 9;
const V4_SOURCE: u32 = PAYLOAD + 12;
const V4_DESTINATION: u32 = PAYLOAD + 16;
const ARP_SENDER_MAC: u32 = PAYLOAD + 8;
const ARP_SENDER_IP: u32 = PAYLOAD + 14;
const V6_NEXT_HEADER: u32 = PAYLOAD + 6;
const V6_SOURCE: u32 = PAYLOAD + 8;
const V6_DESTINATION: u32 = PAYLOAD + 24;
const V6_PAYLOAD: u32 = PAYLOAD + 40;
/// Of a neighbour solicitation or advertisement that follows the IPv6 header.
const ND_TARGET: u32 = V6_PAYLOAD + 8;

const IGMP: u32 = 2;
const HOP_BY_HOP: u32 = 0;
const ICMPV6: u32 = 58;
const ROUTER_SOLICITATION: u32 = 133;
const ROUTER_ADVERTISEMENT: u32 = 134;
const NEIGHBOUR_SOLICITATION: u32 = 135;
const NEIGHBOUR_ADVERTISEMENT: u32 = 136;
const REDIRECT: u32 = 137;

/// Matches every frame.
pub(crate) fn everything() -> Vec<u8> {
    Program::default().ret(MATCH).bytes()
}

/// In direct action mode, drops every frame.
pub(crate) fn nothing() -> Vec<u8> {
    Program::default().ret(SHOT).bytes()
}

/// Matches the frames that the guest behind an interface may send:
/// from its MAC address, untagged, and one of
/// - ARP of its MAC address and one of its IPv4 addresses;
/// - IPv4 from one of its addresses, without options (source routes) except in IGMP;
/// - IPv6 from one of its addresses or its link-local one, or from `::` to find out whether an
///   address of its own is in use; without routing, destination or mobility headers, behind
///   which neighbour discovery could hide; no router advertisements and redirects, which are a
///   router's, and neighbour advertisements only for its own addresses;
///
/// and nothing to the metadata addresses.
pub(crate) fn from_guest(mac: Mac, v4: &[Ipv4Addr], v6: &[Ipv6Addr]) -> Vec<u8> {
    let mut own_v6 = v6.to_vec();
    if !own_v6.contains(&mac.link_local()) {
        own_v6.push(mac.link_local());
    }
    let mut p = Program::default();
    p.load(LOAD_WORD, VLAN_TAG_PRESENT).require(0);
    p.require_mac(SOURCE_MAC, mac);
    p.load(LOAD_HALF, ETHERTYPE);
    p.when(0x0800, |p| ipv4(p, v4));
    p.when(0x0806, |p| arp(p, mac, v4));
    p.when(0x86dd, |p| ipv6(p, &own_v6));
    p.ret(NO_MATCH);
    p.bytes()
}

fn ipv4(p: &mut Program, own: &[Ipv4Addr]) {
    p.load(LOAD_BYTE, PAYLOAD);
    p.unless(0x45, |p| {
        p.and(0xf0).require(0x40);
        p.load(LOAD_BYTE, V4_PROTOCOL).require(IGMP);
    });
    p.load(LOAD_WORD, V4_DESTINATION)
        .refuse(METADATA_V4.to_bits());
    p.load(LOAD_WORD, V4_SOURCE).require_one_of(own);
    p.ret(MATCH);
}

fn arp(p: &mut Program, mac: Mac, own: &[Ipv4Addr]) {
    // Ethernet and IPv4, addresses of six and four bytes.
    p.load(LOAD_WORD, PAYLOAD).require(0x0001_0800);
    p.load(LOAD_HALF, PAYLOAD + 4).require(0x0604);
    p.require_mac(ARP_SENDER_MAC, mac);
    p.load(LOAD_WORD, ARP_SENDER_IP).require_one_of(own);
    p.ret(MATCH);
}

fn ipv6(p: &mut Program, own: &[Ipv6Addr]) {
    p.load(LOAD_BYTE, PAYLOAD).and(0xf0).require(0x60);
    p.when_v6(V6_DESTINATION, METADATA_V6, |p| {
        p.ret(NO_MATCH);
    });
    p.when_v6(V6_SOURCE, Ipv6Addr::UNSPECIFIED, |p| {
        from_unspecified(p, own)
    });
    p.require_one_of_v6(V6_SOURCE, own);
    p.load(LOAD_BYTE, V6_NEXT_HEADER);
    p.when(ICMPV6, |p| {
        p.load(LOAD_BYTE, V6_PAYLOAD);
        p.refuse(ROUTER_ADVERTISEMENT).refuse(REDIRECT);
        p.when(NEIGHBOUR_ADVERTISEMENT, |p| {
            p.require_one_of_v6(ND_TARGET, own);
            p.ret(MATCH);
        });
        p.ret(MATCH);
    });
    p.when(HOP_BY_HOP, multicast_listener);
    // Routing, destination options, mobility, HIP, shim6.
    for header in [43, 60, 135, 139, 140] {
        p.refuse(header);
    }
    p.ret(MATCH);
}

/// RFC 4862: from `::` a host asks whether an address is taken; RFC 4861: and for a router.
fn from_unspecified(p: &mut Program, own: &[Ipv6Addr]) {
    p.load(LOAD_HALF, V6_DESTINATION).require(0xff02);
    p.load(LOAD_BYTE, V6_NEXT_HEADER);
    p.when(HOP_BY_HOP, multicast_listener);
    p.require(ICMPV6);
    p.load(LOAD_BYTE, V6_PAYLOAD);
    p.when(NEIGHBOUR_SOLICITATION, |p| {
        p.require_one_of_v6(ND_TARGET, own);
        p.ret(MATCH);
    });
    p.require(ROUTER_SOLICITATION);
    p.ret(MATCH);
}

/// RFC 2710 and 3810: reports of the groups a host listens to carry a router alert in a
/// hop-by-hop header of eight bytes. No other use of that header passes.
fn multicast_listener(p: &mut Program) {
    p.load(LOAD_HALF, V6_PAYLOAD).require(ICMPV6 << 8);
    p.load(LOAD_BYTE, V6_PAYLOAD + 8);
    for report in [131, 132, 143] {
        p.when(report, |p| {
            p.ret(MATCH);
        });
    }
    p.ret(NO_MATCH);
}

/// A classic BPF program in the making.
#[derive(Default)]
struct Program {
    code: Vec<(u16, u8, u8, u32)>,
}

impl Program {
    fn push(&mut self, operation: u16, on_true: u8, on_false: u8, operand: u32) -> &mut Self {
        self.code.push((operation, on_true, on_false, operand));
        self
    }

    fn load(&mut self, size: u16, offset: u32) -> &mut Self {
        self.push(size, 0, 0, offset)
    }

    fn and(&mut self, mask: u32) -> &mut Self {
        self.push(AND, 0, 0, mask)
    }

    fn ret(&mut self, value: u32) -> &mut Self {
        self.push(RETURN, 0, 0, value)
    }

    /// Goes on only if what was loaded is `value`.
    fn require(&mut self, value: u32) -> &mut Self {
        self.push(JUMP_EQUAL, 1, 0, value).ret(NO_MATCH)
    }

    /// Goes on only if what was loaded is not `value`.
    fn refuse(&mut self, value: u32) -> &mut Self {
        self.push(JUMP_EQUAL, 0, 1, value).ret(NO_MATCH)
    }

    /// If what was loaded is `value`, runs `body`.
    fn when(&mut self, value: u32, body: impl FnOnce(&mut Self)) {
        self.push(JUMP_EQUAL, 1, 0, value);
        self.skippable(body);
    }

    /// If what was loaded is not `value`, runs `body`.
    fn unless(&mut self, value: u32, body: impl FnOnce(&mut Self)) {
        self.push(JUMP_EQUAL, 0, 1, value);
        self.skippable(body);
    }

    /// A jump over `body`, which conditions in front of it skip. Conditional jumps reach only
    /// 255 instructions; this one reaches any.
    fn skippable(&mut self, body: impl FnOnce(&mut Self)) {
        let jump = self.code.len();
        self.push(JUMP, 0, 0, 0);
        body(self);
        self.land(jump);
    }

    /// Lets the jump at `jump` lead to what is pushed next.
    fn land(&mut self, jump: usize) {
        self.code[jump].3 = (self.code.len() - jump - 1) as u32;
    }

    fn require_mac(&mut self, offset: u32, mac: Mac) {
        let [a, b, c, d, e, f] = mac.0;
        self.load(LOAD_WORD, offset)
            .require(u32::from_be_bytes([a, b, c, d]));
        self.load(LOAD_HALF, offset + 4)
            .require(u32::from(u16::from_be_bytes([e, f])));
    }

    /// Goes on only if what was loaded is one of `addresses`.
    fn require_one_of(&mut self, addresses: &[Ipv4Addr]) {
        let mut found = Vec::new();
        for address in addresses {
            self.push(JUMP_EQUAL, 0, 1, address.to_bits());
            found.push(self.code.len());
            self.push(JUMP, 0, 0, 0);
        }
        self.ret(NO_MATCH);
        found.into_iter().for_each(|jump| self.land(jump));
    }

    /// Goes on only if one of `addresses` is at `offset`.
    fn require_one_of_v6(&mut self, offset: u32, addresses: &[Ipv6Addr]) {
        let mut found = Vec::new();
        for &address in addresses {
            self.when_v6(offset, address, |p| {
                found.push(p.code.len());
                p.push(JUMP, 0, 0, 0);
            });
        }
        self.ret(NO_MATCH);
        found.into_iter().for_each(|jump| self.land(jump));
    }

    /// If `address` is at `offset`, runs `body`.
    fn when_v6(&mut self, offset: u32, address: Ipv6Addr, body: impl FnOnce(&mut Self)) {
        // Each word that differs skips the rest of the comparison, to the jump over `body`.
        for (i, word) in address.octets().chunks_exact(4).enumerate() {
            let word = u32::from_be_bytes([word[0], word[1], word[2], word[3]]);
            self.load(LOAD_WORD, offset + 4 * i as u32);
            let rest = 2 * (3 - i) as u8;
            if i < 3 {
                self.push(JUMP_EQUAL, 0, rest, word);
            } else {
                self.push(JUMP_EQUAL, 1, 0, word);
            }
        }
        self.skippable(body);
    }

    /// As an array of `struct sock_filter`.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 * self.code.len());
        for (operation, on_true, on_false, operand) in &self.code {
            bytes.extend(operation.to_ne_bytes());
            bytes.extend([*on_true, *on_false]);
            bytes.extend(operand.to_ne_bytes());
        }
        bytes
    }
}

#[cfg(test)]
#[path = "filter_test.rs"]
mod tests;
