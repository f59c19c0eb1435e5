use super::*;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    crate::runtime().unwrap().block_on(future)
}

#[test]
fn frames_are_read_as_they_were_written() {
    let frames = [
        Frame::Say(Event::Started),
        Frame::Output {
            container: 3,
            stream: Stream::Stderr,
            bytes: vec![0, 1, 2, 255],
        },
        Frame::Input(Vec::new()),
        Frame::Say(Event::Ended {
            exit_code: 7,
            reason: "Error".into(),
            message: String::new(),
            timings: Vec::new(),
        }),
    ];
    block_on(async {
        let mut bytes = Vec::new();
        for frame in &frames {
            write(&mut bytes, frame).await.unwrap();
        }
        let mut from = bytes.as_slice();
        for frame in frames {
            assert_eq!(read::<Event>(&mut from).await.unwrap(), Some(frame));
        }
        assert_eq!(read::<Event>(&mut from).await.unwrap(), None);
    });
}

#[test]
fn what_is_no_frame_is_refused() {
    let mut huge = vec![b'I'];
    huge.extend_from_slice(&u32::MAX.to_be_bytes());
    let half = [b'J', 0, 0, 0, 9, b'{'].to_vec();
    let kind = [b'?', 0, 0, 0, 0].to_vec();
    let stream = [b'O', 0, 0, 0, 2, 0, 9].to_vec();
    let json = [b'J', 0, 0, 0, 2, b'{', b'}'].to_vec();
    for bytes in [huge, half, kind, stream, json] {
        let mut from = bytes.as_slice();
        assert!(block_on(read::<Request>(&mut from)).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_frame_that_is_too_long_is_not_written() {
    let frame = Frame::<Event>::Input(vec![0; MAX_FRAME + 1]);
    assert!(frame.encode().is_err());
}
