use std::io::{Read, Write};
use std::time::Duration;

use super::*;

fn pair() -> (Handshake, UnixStream) {
    let (stream, host) = UnixStream::pair().unwrap();
    let deadline = Instant::now() + Duration::from_secs(1);
    (Handshake { stream, deadline }, host)
}

#[test]
fn a_line_in_pieces_is_a_port_once_it_is_complete() {
    let (handshake, mut host) = pair();
    for piece in [&b""[..], b"CONN", b"ECT 4", b"2"] {
        host.write_all(piece).unwrap();
        assert_eq!(handshake.progress(), Progress::Waiting);
    }

    host.write_all(b"\n").unwrap();

    assert_eq!(handshake.progress(), Progress::Port(42));
}

#[test]
fn what_follows_the_line_stays_in_the_socket() {
    let (mut handshake, mut host) = pair();
    host.write_all(b"CONNECT 4294967295\nCONNECT 7\n").unwrap();

    assert_eq!(handshake.progress(), Progress::Port(u32::MAX));

    let mut rest = [0; 10];
    handshake.stream.read_exact(&mut rest).unwrap();
    assert_eq!(&rest, b"CONNECT 7\n");
}

#[test]
fn anything_else_fails() {
    let lines: [&[u8]; 11] = [
        b"\n",
        b"CONNECT\n",
        b"CONNECT \n",
        b"CONNECT +1\n",
        b"CONNECT -1\n",
        b"CONNECT 1 \n",
        b"CONNECT 4294967296\n",
        b"connect 1\n",
        b"CONNECT 1\r\n",
        b"CONNECT \xff\n",
        b"CONNECT 000000000000000000000000000000",
    ];
    for line in lines {
        let (handshake, mut host) = pair();
        host.write_all(line).unwrap();

        assert_eq!(handshake.progress(), Progress::Failed, "{line:?}");
    }
}

#[test]
fn a_program_that_hangs_up_fails() {
    let (handshake, mut host) = pair();
    host.write_all(b"CONNECT 1").unwrap();
    assert_eq!(handshake.progress(), Progress::Waiting);
    drop(host);

    // Half a line is still there; the muxer's time-out ends it.
    assert_eq!(handshake.progress(), Progress::Waiting);
    let (handshake, host) = pair();
    drop(host);
    assert_eq!(handshake.progress(), Progress::Failed);
}
