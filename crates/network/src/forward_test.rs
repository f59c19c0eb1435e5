use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::*;
use crate::testing::Namespace;

fn accept(listener: &TcpListener) -> TcpStream {
    for _ in 0..1000 {
        match listener.accept() {
            Ok((stream, _)) => return stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("nobody connected");
}

#[test]
fn every_port_of_the_loopback_leads_to_one_listener() {
    let namespace = Namespace::new();
    let loopback = Loopback::take(&namespace.path).unwrap();
    let v6 = loopback.v6.as_ref().unwrap();
    for (address, listener, is_v6) in [
        ("127.0.0.1:80", &loopback.v4, false),
        ("127.0.0.9:65535", &loopback.v4, false),
        ("[::1]:8080", v6, true),
    ] {
        let address: SocketAddr = address.parse().unwrap();
        let mut client =
            netns::inside(&namespace.path, || TcpStream::connect(address).unwrap()).unwrap();
        let mut server = accept(listener);
        assert_eq!(original_port(&server, is_v6).unwrap(), address.port());
        client.write_all(b"x").unwrap();
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
}

#[test]
fn the_loopback_can_be_taken_over_anew() {
    let namespace = Namespace::new();
    drop(Loopback::take(&namespace.path).unwrap());
    let loopback = Loopback::take(&namespace.path).unwrap();
    let _client = netns::inside(&namespace.path, || {
        TcpStream::connect((Ipv4Addr::LOCALHOST, 443)).unwrap()
    })
    .unwrap();
    assert_eq!(original_port(accept(&loopback.v4), false).unwrap(), 443);
}
