use super::*;
use crate::netns;

#[test]
fn the_interfaces_that_are_asked_for_are_added_up() {
    let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    1000      10    0    0    0     0          0         0     1000      10    0    0    0     0       0          0
  eth0:     300       3    0    0    0     0          0         0       70       1    0    0    0     0       0          0
  eth1:5       3    0    0    0     0          0         0       7       1    0    0    0     0       0          0
sktap2:   999       3    0    0    0     0          0         0      999       1    0    0    0     0       0          0
";
    let passed = parse(text, &["eth0".into(), "eth1".into(), "gone".into()]);
    assert_eq!((passed.received_bytes, passed.sent_bytes), (305, 77));
}

#[test]
fn counters_are_those_of_the_namespace_that_they_were_opened_in() {
    let (traffic, before) = netns::inside_new(|| {
        let traffic = Traffic::open(vec!["lo".into()]).unwrap();
        let before = traffic.read().unwrap();
        netns::loopback_up().unwrap();
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let own = socket.local_addr().unwrap();
        socket.send_to(&[0; 1000], own).unwrap();
        (traffic, before)
    })
    .unwrap();

    assert_eq!(before, Passed::default());
    // With the headers of IP and UDP; loopback counts none of its own.
    let sent = 1000 + 20 + 8;
    let passed = traffic.read().unwrap();
    assert_eq!((passed.received_bytes, passed.sent_bytes), (sent, sent));
}
