use std::time::Duration;

use super::*;

fn header(buf_alloc: u32, fwd_cnt: u32) -> Header {
    Header {
        buf_alloc,
        fwd_cnt,
        ..Header::default()
    }
}

#[test]
fn credit_wraps_around_with_its_counters() {
    let (near, _far) = UnixStream::pair().unwrap();
    let mut connection = Connection::asked_by_guest(near, 1000, &header(500, u32::MAX - 99));
    connection.sent = 100;

    // 200 of the 500 are on their way.
    assert_eq!(connection.credit(), 300);
    connection.note_credit(&header(500, 100));
    assert_eq!(connection.credit(), 500);
    connection.note_credit(&header(0, 100));
    assert_eq!(connection.credit(), 0);
    // Shrunk below what is on its way.
    connection.note_credit(&header(50, 0));
    assert_eq!(connection.credit(), 0);
}

#[test]
fn no_packet_but_the_answer_is_taken_before_the_answer() {
    let ports = Ports { guest: 1, host: 2 };
    for op in [Op::Data, Op::Shutdown, Op::CreditUpdate, Op::Request] {
        let (near, _far) = UnixStream::pair().unwrap();
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut connection = Connection::asked_by_host(near, 1000, deadline);
        // Not even that, before it was asked.
        let nothing = Pieces::of(&mut []);
        let early = connection.on_guest(Op::Response, &header(1, 0), &nothing, ports);
        assert_eq!(early, Err(Violation));
        let mut room = [vec![0; 100]];
        let request = connection.next_packet(&Pieces::of(&mut room)).unwrap();
        assert_eq!(request.op, Op::Request);

        let result = connection.on_guest(op, &header(1, 0), &nothing, ports);

        assert_eq!(result, Err(Violation), "{op:?}");
    }
}
