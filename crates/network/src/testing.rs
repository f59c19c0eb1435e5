//! Namespaces, links and frames for the tests. All traffic of the tests stays in namespaces that
//! they make and take away themselves.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::interface::Mac;
use crate::{Attachment, attach, netns};

/// A network namespace that goes with this value.
pub(crate) struct Namespace {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl Namespace {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sknt-{}-{count}", std::process::id());
        let path = netns::create(&name).expect("needs root");
        Self { name, path }
    }

    /// Runs a program in the namespace and returns what it prints.
    pub(crate) fn run(&self, line: &str) -> String {
        let (success, output) = self.try_run(line);
        assert!(success, "{line}: {output}");
        output
    }

    pub(crate) fn try_run(&self, line: &str) -> (bool, String) {
        let mut words = line.split_whitespace();
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        let output = netns::inside(&self.path, || command.output())
            .expect("namespace")
            .expect(line);
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = netns::delete(&self.name);
    }
}

pub(crate) const POD_MAC: Mac = Mac([0x02, 0x53, 0, 0, 0, 0x01]);
pub(crate) const PEER_MAC: Mac = Mac([0x02, 0x53, 0, 0, 0, 0x02]);
pub(crate) const POD_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 2);
pub(crate) const PEER_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
pub(crate) const POD_V6: Ipv6Addr = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 2);
pub(crate) const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, 1);

/// A Pod's namespace as a CNI plugin leaves it, and its peer's on the other end of the veth.
pub(crate) struct Link {
    pub(crate) pod: Namespace,
    pub(crate) peer: Namespace,
    pub(crate) state: tempfile::TempDir,
}

impl Link {
    pub(crate) fn new() -> Self {
        let (pod, peer) = (Namespace::new(), Namespace::new());
        pod.run(&format!(
            "ip link add eth0 address {POD_MAC} type veth peer name eth0 address {PEER_MAC} netns {}",
            peer.name
        ));
        for (namespace, v4, v6) in [(&pod, POD_V4, POD_V6), (&peer, PEER_V4, PEER_V6)] {
            namespace.run(&format!("ip address add {v4}/24 dev eth0"));
            namespace.run(&format!("ip address add {v6}/64 dev eth0 nodad"));
            namespace.run("ip link set eth0 up");
        }
        pod.run(&format!("ip route add default via {PEER_V4}"));
        pod.run(&format!("ip route add default via {PEER_V6}"));
        Self {
            pod,
            peer,
            state: tempfile::tempdir().expect("a directory"),
        }
    }

    pub(crate) fn state_file(&self) -> PathBuf {
        self.state.path().join("network.json")
    }

    pub(crate) fn attach(&self) -> Attachment {
        attach(&self.pod.path, &self.state_file()).expect("attached")
    }

    /// Attaches to the Pod's end and to the peer's: two guests.
    pub(crate) fn two_guests(&self) -> (Guest, Guest) {
        let peer = attach(&self.peer.path, &self.state.path().join("peer.json")).expect("attached");
        let (mut guest, mut peer) = (Guest::of(self.attach()), Guest::of(peer));
        // What the host's stack has sent by the Pod's interface until now is not the guest's.
        let first = ethernet(POD_MAC, 0x0800, &ipv4(POD_V4, PEER_V4, 254, &[], &[0; 40]));
        guest.send(&first);
        peer.receive_such(|frame| frame == first);
        (guest, peer)
    }
}

/// What stands in for a guest: it reads and writes frames at the tap as a VMM does.
pub(crate) struct Guest {
    tap: File,
}

/// Of `struct virtio_net_hdr`, as a tap has it before a VMM asks for another.
const HEADER: usize = 10;

impl Guest {
    pub(crate) fn of(attachment: Attachment) -> Self {
        let mut interfaces = attachment.interfaces;
        assert_eq!(interfaces.len(), 1);
        Self {
            tap: interfaces.remove(0).tap.into(),
        }
    }

    pub(crate) fn send(&mut self, frame: &[u8]) {
        let bytes = [&[0; HEADER], frame].concat();
        assert_eq!(self.tap.write(&bytes).expect("sent"), bytes.len());
    }

    /// The next frame, or none within three seconds.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 70_000];
        let end = Instant::now() + Duration::from_secs(3);
        loop {
            match self.tap.read(&mut buffer) {
                Ok(length) => return Some(buffer[HEADER..length].to_vec()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            let rest = end.checked_duration_since(Instant::now())?;
            let rest = Timespec::try_from(rest).expect("short");
            let _ = rustix::event::poll(&mut [PollFd::new(&self.tap, PollFlags::IN)], Some(&rest));
        }
    }

    /// The next frame of which `wanted` is true.
    pub(crate) fn receive_such(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        loop {
            let frame = self.receive().expect("a frame within three seconds");
            if wanted(&frame) {
                return frame;
            }
        }
    }
}

pub(crate) fn ethernet(source: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [
        &PEER_MAC.0[..],
        &source.0,
        &ethertype.to_be_bytes(),
        payload,
    ]
    .concat()
}

pub(crate) fn arp_request(sender_mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let fixed = [0, 1, 8, 0, 6, 4, 0, 1];
    [
        &fixed[..],
        &sender_mac.0,
        &sender.octets(),
        &[0; 6],
        &target.octets(),
    ]
    .concat()
}

/// The Internet's checksum, RFC 1071.
pub(crate) fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An IPv4 packet; `options` of a length that four divides.
pub(crate) fn ipv4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let length = (20 + options.len() + payload.len()) as u16;
    let mut header = vec![0x45 + (options.len() / 4) as u8, 0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    header.extend(options);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    header.extend(payload);
    header
}

pub(crate) fn echo_request(sequence: u8, length: usize) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0x53, 0x6b, 0, sequence];
    message.resize(8 + length, 0x5a);
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    message
}

pub(crate) fn ipv6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload: &[u8],
) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, length[0], length[1], next_header, 255];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// An ICMPv6 message with its checksum over the pseudo header of RFC 8200.
pub(crate) fn icmpv6(source: Ipv6Addr, destination: Ipv6Addr, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0], rest].concat();
    let length = (message.len() as u32).to_be_bytes();
    let pseudo = [
        &source.octets()[..],
        &destination.octets(),
        &length,
        &[0, 0, 0, 58],
        &message,
    ]
    .concat();
    let sum = checksum(&pseudo);
    message[2..4].copy_from_slice(&sum);
    ipv6(source, destination, 58, &message)
}
