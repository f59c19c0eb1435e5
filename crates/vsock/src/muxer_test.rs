use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown as How;

use crate::packet::{Header, Op, Shutdown};
use crate::test_driver::{CID, Driver, data, with};

use super::*;

fn shutdown(header: Header, receive: bool, send: bool) -> Header {
    Header {
        flags: Shutdown { receive, send }.flags(),
        ..with(header, Op::Shutdown)
    }
}

/// Lets the device work until the host's side does as it should, or for five seconds.
fn until(driver: &mut Driver, mut done: impl FnMut(&mut Driver) -> bool) {
    let start = Instant::now();
    while !done(driver) {
        assert!(start.elapsed() < Duration::from_secs(5));
        driver.turn();
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn bytes_pass_both_ways() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, header) = driver.connect(10);

    driver.send(&data(header, b"to host"), b"to host");
    host.write_all(b"to guest").unwrap();
    driver.turn();

    let mut received = [0; 7];
    host.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"to host");
    let packets = driver.take();
    assert_eq!(packets.len(), 1);
    let (packet, payload) = &packets[0];
    assert_eq!(payload, b"to guest");
    assert_eq!((packet.src_cid, packet.dst_cid), (2, CID));
    assert_eq!((packet.src_port, packet.dst_port), (header.dst_port, 10));
    assert_eq!(packet.fwd_cnt, 7);
}

#[test]
fn what_the_host_says_right_behind_its_line_reaches_the_guest() {
    let mut driver = Driver::new(Limits::default());
    let mut host = driver.dial(10);
    host.write_all(b"early").unwrap();
    driver.turn();
    let (request, _) = driver.take().pop().unwrap();

    driver.send(&with(request.reset(), Op::Response), &[]);
    assert_eq!(driver.ops(), [Op::CreditRequest]);
    let header = Header {
        buf_alloc: 100,
        ..with(request.reset(), Op::CreditUpdate)
    };
    driver.send(&header, &[]);

    assert_eq!(driver.take().pop().unwrap().1, b"early");
}

#[test]
fn a_guest_that_refuses_closes_the_hosts_socket() {
    let mut driver = Driver::new(Limits::default());
    let mut host = driver.dial(10);
    driver.turn();
    let (request, _) = driver.take().pop().unwrap();

    driver.send(&request.reset(), &[]);

    assert_eq!(host.read(&mut [0]).unwrap(), 0);
    assert!(driver.device.muxer().is_empty());
}

#[test]
fn a_guest_that_does_not_answer_closes_the_hosts_socket_in_time() {
    let mut driver = Driver::new(Limits {
        answer: Duration::from_millis(30),
        ..Limits::default()
    });
    let mut host = driver.dial(10);

    until(&mut driver, |driver| driver.ops().contains(&Op::Reset));

    assert_eq!(host.read(&mut [0]).unwrap(), 0);
    assert!(driver.device.muxer().is_empty());
}

#[test]
fn a_program_that_says_nothing_is_closed_in_time() {
    let mut driver = Driver::new(Limits {
        handshake: Duration::from_millis(30),
        ..Limits::default()
    });
    let mut silent = UnixStream::connect(driver.dir.path().join("v")).unwrap();
    driver.turn();
    assert_eq!(driver.device.muxer().len(), 1);

    until(&mut driver, |driver| driver.device.muxer().is_empty());

    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_program_that_hangs_up_before_the_guest_answers_is_forgotten() {
    let mut driver = Driver::new(Limits::default());
    let host = driver.dial(10);
    driver.turn();
    let (request, _) = driver.take().pop().unwrap();
    drop(host);

    assert_eq!(driver.ops(), [Op::Reset]);
    driver.send(&with(request.reset(), Op::Response), &[]);
    assert_eq!(driver.ops(), [Op::Reset]);
}

#[test]
fn a_guests_connection_reaches_the_programs_socket() {
    let mut driver = Driver::new(Limits::default());
    let listener = driver.listen(7);

    let request = Driver::request(7);
    driver.send(&request, &[]);
    let (mut host, _) = listener.accept().unwrap();
    assert_eq!(driver.take()[0].0.op, Op::Response as u16);
    driver.send(&data(request, b"hello"), b"hello");
    driver.send(&shutdown(request, false, true), &[]);
    let mut received = Vec::new();
    host.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"hello");

    host.write_all(b"and back").unwrap();
    drop(host);
    driver.turn();
    let packets = driver.take();
    assert_eq!(packets[0].1, b"and back");
    assert_eq!(packets[1].0.op, Op::Shutdown as u16);
    assert_eq!(packets[1].0.flags, Shutdown::BOTH.flags());
}

#[test]
fn a_guests_connection_to_no_program_is_reset() {
    let mut driver = Driver::new(Limits::default());
    driver.send(&Driver::request(8), &[]);
    assert_eq!(driver.take()[0].0.op, Op::Reset as u16);

    // A socket that nobody listens on any more.
    drop(driver.listen(9));
    driver.send(&Driver::request(9), &[]);
    assert_eq!(driver.take()[0].0.op, Op::Reset as u16);
    assert!(driver.device.muxer().is_empty());
}

#[test]
fn a_program_that_does_not_accept_holds_up_nobody() {
    let mut driver = Driver::new(Limits::default());
    let listener = driver.listen(7);
    rustix::net::listen(&listener, 1).unwrap();

    let mut refused = 0;
    for port in 0..10 {
        let request = Header {
            src_port: port,
            ..Driver::request(7)
        };
        driver.send(&request, &[]);
        refused += usize::from(driver.take()[0].0.op == Op::Reset as u16);
    }

    assert!(refused >= 7, "{refused}");
}

#[test]
fn half_closes_are_handed_on_and_the_last_one_is_answered_with_a_reset() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, header) = driver.connect(10);

    host.shutdown(How::Write).unwrap();
    driver.turn();
    let packets = driver.take();
    assert_eq!(packets[0].0.op, Op::Shutdown as u16);
    assert_eq!(
        Shutdown::from_flags(packets[0].0.flags),
        Shutdown {
            receive: false,
            send: true
        }
    );

    driver.send(&data(header, b"reply"), b"reply");
    driver.send(&shutdown(header, true, true), &[]);
    let mut received = Vec::new();
    host.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"reply");
    assert_eq!(driver.ops(), [Op::Reset]);
    assert!(driver.device.muxer().is_empty());
}

#[test]
fn a_guest_that_closes_before_it_has_read_all_still_ends_the_stream_in_order() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, header) = driver.connect(10);
    driver.send(&data(header, b"all of it"), b"all of it");
    host.write_all(&[1; 100_000]).unwrap();

    driver.send(&shutdown(header, true, true), &[]);

    let mut received = String::new();
    host.read_to_string(&mut received).unwrap();
    assert_eq!(received, "all of it");
}

#[test]
fn a_guest_that_takes_no_more_breaks_the_hosts_pipe() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, header) = driver.connect(10);

    driver.send(&shutdown(header, true, false), &[]);

    let error = host.write_all(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    driver.send(&data(header, b"still"), b"still");
    let mut received = [0; 5];
    host.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"still");
}

#[test]
fn a_host_that_closes_is_told_to_the_guest_and_forgotten_on_its_reset() {
    let mut driver = Driver::new(Limits::default());
    let (host, header) = driver.connect(10);
    drop(host);

    driver.turn();
    let packets = driver.take();
    assert_eq!(packets[0].0.op, Op::Shutdown as u16);
    assert_eq!(packets[0].0.flags, Shutdown::BOTH.flags());
    // The guest may not know yet.
    driver.send(&data(header, b"late"), b"late");
    driver.send(&with(header, Op::Reset), &[]);

    assert_eq!(driver.ops(), []);
    assert!(driver.device.muxer().is_empty());
}

#[test]
fn a_guest_that_does_not_acknowledge_a_close_is_reset_in_time() {
    let mut driver = Driver::new(Limits {
        close: Duration::from_millis(30),
        ..Limits::default()
    });
    let (host, _) = driver.connect(10);
    drop(host);

    until(&mut driver, |driver| driver.ops().contains(&Op::Reset));

    assert!(driver.device.muxer().is_empty());
}

#[test]
fn the_guest_learns_of_room_as_the_host_reads_and_never_sends_more() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, header) = driver.connect(10);
    let chunk = vec![7; 32 * 1024];
    let (mut sent, mut forwarded, mut alloc, mut received) = (0u32, 0u32, 256 * 1024, 0);

    // Until the host's socket and the buffer are full.
    let send = |driver: &mut Driver, sent: &mut u32, forwarded: &mut u32, alloc: &mut u32| {
        while sent.wrapping_sub(*forwarded) + chunk.len() as u32 <= *alloc {
            driver.send(&data(header, &chunk), &chunk);
            *sent += chunk.len() as u32;
            for (packet, _) in driver.take() {
                assert_eq!(packet.op, Op::CreditUpdate as u16);
                (*forwarded, *alloc) = (packet.fwd_cnt, packet.buf_alloc);
            }
        }
    };
    send(&mut driver, &mut sent, &mut forwarded, &mut alloc);
    assert!(sent > 256 * 1024);
    let full = sent;

    // The host reads, and the guest may go on.
    let mut buffer = vec![0; 64 * 1024];
    while sent < full + 1024 * 1024 {
        received += host.read(&mut buffer).unwrap() as u32;
        driver.turn();
        for (packet, _) in driver.take() {
            assert_eq!(packet.op, Op::CreditUpdate as u16);
            forwarded = packet.fwd_cnt;
        }
        send(&mut driver, &mut sent, &mut forwarded, &mut alloc);
    }
    assert!(received >= 1024 * 1024 - 64 * 1024);
}

#[test]
fn a_guest_that_sends_more_than_it_may_is_reset() {
    let mut driver = Driver::new(Limits {
        buffer: 10_000,
        ..Limits::default()
    });
    let (mut host, header) = driver.connect(10);
    // Fill the host's socket first.
    let chunk = vec![7; 5_000];
    let mut ops = Vec::new();
    for _ in 0..1000 {
        driver.send(&data(header, &chunk), &chunk);
        ops.extend(driver.ops());
        if ops.contains(&Op::Reset) {
            break;
        }
    }

    assert_eq!(ops.last(), Some(&Op::Reset));
    assert!(driver.device.muxer().is_empty());
    let mut rest = Vec::new();
    // What the host's socket holds is still there, then it ends.
    host.read_to_end(&mut rest).unwrap();
    assert!(!rest.is_empty());
}

#[test]
fn a_question_for_credit_is_answered() {
    let mut driver = Driver::new(Limits::default());
    let (_host, header) = driver.connect(10);

    driver.send(&with(header, Op::CreditRequest), &[]);

    let (answer, _) = driver.take().pop().unwrap();
    assert_eq!(answer.op, Op::CreditUpdate as u16);
    assert_eq!(answer.buf_alloc, 256 * 1024);
}

#[test]
fn no_more_is_sent_than_the_guest_has_room_for_and_it_is_asked_once() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, header) = driver.connect(10);
    let small = Header {
        buf_alloc: 10,
        ..with(header, Op::CreditUpdate)
    };
    driver.send(&small, &[]);
    host.write_all(&[1; 25]).unwrap();

    driver.turn();
    let packets = driver.take();
    assert_eq!(packets[0].1.len(), 10);
    assert_eq!(packets[1].0.op, Op::CreditRequest as u16);
    // No room still: it must not be asked over and over.
    driver.send(&small, &[]);
    assert_eq!(driver.ops(), []);
    let more = Header {
        fwd_cnt: 10,
        ..small
    };
    driver.send(&more, &[]);
    assert_eq!(driver.take()[0].1.len(), 10);
    // A guest that claims to have taken more than was sent gets nothing for it.
    let lying = Header {
        fwd_cnt: 1_000_000,
        ..small
    };
    driver.send(&lying, &[]);
    assert_eq!(driver.ops(), []);
}

#[test]
fn packets_that_belong_nowhere_are_reset_and_resets_are_not() {
    let mut driver = Driver::new(Limits::default());
    let stray = Driver::request(77);
    for op in [Op::Response, Op::Data, Op::Shutdown, Op::CreditRequest] {
        driver.send(&with(stray, op), &[]);
        assert_eq!(driver.ops(), [Op::Reset]);
    }
    driver.send(&with(stray, Op::Reset), &[]);
    driver.send(&Header { op: 99, ..stray }, &[]);
    assert_eq!(driver.ops(), [Op::Reset], "for the unknown operation");

    // A datagram; a stranger's CID; another guest's.
    driver.send(&Header { kind: 3, ..stray }, &[]);
    assert_eq!(driver.ops(), [Op::Reset]);
    driver.send(
        &Header {
            src_cid: CID + 1,
            ..stray
        },
        &[],
    );
    assert_eq!(driver.ops(), []);
    driver.send(
        &Header {
            dst_cid: CID + 1,
            ..stray
        },
        &[],
    );
    let (reset, _) = driver.take().pop().unwrap();
    assert_eq!((reset.src_cid, reset.op), (CID + 1, Op::Reset as u16));
}

#[test]
fn what_breaks_the_protocol_ends_the_connection() {
    for op in [Some(Op::Request), Some(Op::Response), None] {
        let mut driver = Driver::new(Limits::default());
        let (mut host, header) = driver.connect(10);

        let op = op.map_or(42, |op| op as u16);
        driver.send(&Header { op, ..header }, &[]);

        assert_eq!(driver.ops(), [Op::Reset]);
        assert_eq!(host.read(&mut [0]).unwrap(), 0);
    }
    let mut driver = Driver::new(Limits::default());
    let (_host, header) = driver.connect(10);
    driver.send(&shutdown(header, false, true), &[]);
    driver.send(&data(header, b"after the end"), b"after the end");
    assert_eq!(driver.ops(), [Op::Reset]);
}

#[test]
fn a_reset_of_the_guest_still_hands_over_what_it_had_sent() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, header) = driver.connect(10);
    let chunk = vec![7; 50_000];
    for _ in 0..8 {
        driver.send(&data(header, &chunk), &chunk);
    }
    driver.take();

    driver.send(&with(header, Op::Reset), &[]);

    assert!(driver.device.muxer().is_draining());
    let mut total = 0;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match host.read(&mut buffer).unwrap() {
            0 => break,
            count => total += count,
        }
        driver.turn();
    }
    assert_eq!(total, 8 * chunk.len());
    assert!(driver.device.muxer().is_empty());
}

#[test]
fn more_connections_than_allowed_are_refused_on_both_sides() {
    let mut driver = Driver::new(Limits {
        connections: 3,
        ..Limits::default()
    });
    let _listener = driver.listen(7);
    let _first = driver.connect(10);
    let _second = driver.connect(10);
    driver.send(&Driver::request(7), &[]);
    assert_eq!(driver.ops()[0], Op::Response);

    let request = Header {
        src_port: 99,
        ..Driver::request(7)
    };
    driver.send(&request, &[]);
    assert_eq!(driver.ops(), [Op::Reset]);
    let mut host = driver.dial(10);
    driver.turn();
    let closed = host.read(&mut [0]);
    assert!(
        matches!(closed, Ok(0)) || closed.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset)
    );
    assert_eq!(driver.device.muxer().len(), 3);
}

#[test]
fn full_buffers_are_given_out_until_there_are_none_and_again_when_they_come_back() {
    let mut driver = Driver::new(Limits {
        buffers: 512 * 1024,
        ..Limits::default()
    });
    let ask = |driver: &mut Driver, header: Header| {
        driver.send(&with(header, Op::CreditRequest), &[]);
        driver.take().pop().unwrap().0.buf_alloc
    };
    let (_one, first) = driver.connect(1);
    let (_two, second) = driver.connect(2);
    let (_three, third) = driver.connect(3);
    assert_eq!(ask(&mut driver, second), 256 * 1024);
    assert_eq!(ask(&mut driver, third), 16 * 1024);

    driver.send(&with(first, Op::Reset), &[]);
    let (_four, fourth) = driver.connect(4);

    assert_eq!(ask(&mut driver, fourth), 256 * 1024);
}

#[test]
fn connections_take_turns() {
    let mut driver = Driver::new(Limits::default());
    let (mut one, _) = driver.connect(1);
    let (mut two, _) = driver.connect(2);
    one.write_all(&[1; 60_000]).unwrap();
    two.write_all(&[2; 100]).unwrap();

    driver.turn();

    let ports: Vec<u32> = driver.take().iter().map(|(h, _)| h.dst_port).collect();
    assert!(
        ports[..2].contains(&1) && ports[..2].contains(&2),
        "{ports:?}"
    );
}

#[test]
fn a_flood_of_strays_is_bounded_in_memory() {
    let mut driver = Driver::new(Limits {
        connections: 10,
        ..Limits::default()
    });
    // No packet to the guest gets through: its buffers are used up.
    let (mut host, _) = driver.connect(10);
    for _ in 0..20 {
        host.write_all(b"x").unwrap();
        driver.turn();
    }
    for port in 0..10_000 {
        let stray = Header {
            src_port: port,
            ..Driver::request(4711)
        };
        driver.send(&stray, &[]);
    }

    assert!(driver.device.muxer().resets.len() <= 20);
}
