use std::io::Read;

use super::*;

#[test]
fn bytes_come_out_in_the_order_they_went_in_whatever_the_socket_takes() {
    let (near, mut far) = UnixStream::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let mut backlog = Backlog::default();
    let mut expected = Vec::new();
    let mut received = Vec::new();
    let mut next = 0u32;
    let mut written = 0;

    for round in 0..200 {
        let mut pieces: Vec<Vec<u8>> = (0..3)
            .map(|piece| {
                (0..(round * 37 + piece * 1001) % 9000)
                    .map(|_| {
                        next += 1;
                        (next / 251) as u8
                    })
                    .collect()
            })
            .collect();
        expected.extend(pieces.concat());
        backlog.push(&Pieces::of(&mut pieces));
        written += backlog.write_to(&near).unwrap();
        let mut some = vec![0; 10_000];
        let count = far.read(&mut some).unwrap();
        received.extend_from_slice(&some[..count]);
        assert_eq!(written + backlog.len(), expected.len());
    }
    far.set_nonblocking(true).unwrap();
    loop {
        backlog.write_to(&near).unwrap();
        let mut some = vec![0; 100_000];
        match far.read(&mut some) {
            Ok(count) => received.extend_from_slice(&some[..count]),
            Err(_) => break,
        }
    }

    assert!(received == expected, "{} bytes", received.len());
}

#[test]
fn a_socket_that_is_gone_is_an_error() {
    let (near, far) = UnixStream::pair().unwrap();
    let mut backlog = Backlog::default();
    backlog.push(&Pieces::of(&mut [vec![1]]));
    drop(far);

    let error = backlog.write_to(&near).unwrap_err();

    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}
