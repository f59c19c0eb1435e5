use tokio::net::UnixStream;

use super::testing::fifo;
use super::*;

#[tokio::test]
async fn all_output_is_in_the_fifo_when_drain_returns() {
    let (_dir, path) = fifo();
    let (mut guest, host) = UnixStream::pair().unwrap();
    let (from, _to) = host.into_split();
    let mut reader = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let mut output = Output::default();
    output.pump(from, &path).unwrap();
    let sent = vec![7; 5 * BUFFER + 1];
    let copy = sent.clone();
    tokio::spawn(async move { guest.write_all(&copy).await });
    let reading = tokio::spawn(async move {
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.map(|_| got)
    });
    output.drain().await;
    assert!(reading.await.unwrap().unwrap() == sent);
}

#[tokio::test]
async fn a_slow_reader_loses_nothing_however_long_the_fifo_is_full() {
    let (_dir, path) = fifo();
    let (mut guest, host) = UnixStream::pair().unwrap();
    let mut reader = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let mut output = Output::default();
    output.pump(host.into_split().0, &path).unwrap();
    let sender = tokio::spawn(async move {
        guest.write_all(&vec![1; 4 * BUFFER]).await.unwrap();
    });
    let reading = tokio::spawn(async move {
        tokio::time::sleep(SILENCE * 2).await;
        let mut got = Vec::new();
        reader.read_to_end(&mut got).await.map(|_| got.len())
    });
    output.drain().await;
    assert_eq!(reading.await.unwrap().unwrap(), 4 * BUFFER);
    sender.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_a_child_holds_open_in_silence_is_given_up() {
    let (_dir, path) = fifo();
    let (_guest, host) = UnixStream::pair().unwrap();
    let mut output = Output::default();
    output.pump(host.into_split().0, &path).unwrap();
    tokio::time::timeout(SILENCE * 3, output.drain())
        .await
        .unwrap();
}

#[tokio::test]
async fn closing_the_input_sends_what_the_fifo_holds_first() {
    let (_dir, path) = fifo();
    let (mut guest, host) = UnixStream::pair().unwrap();
    let (_from, to) = host.into_split();
    let input = Input::pump(&path, to).unwrap();
    let mut writer = pipe::OpenOptions::new().open_sender(&path).unwrap();
    writer.write_all(b"last words").await.unwrap();
    input.close();
    let mut got = String::new();
    guest.read_to_string(&mut got).await.unwrap();
    assert_eq!(got, "last words");
}
