use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use super::*;
use crate::stdio::testing::fifo;

#[tokio::test]
async fn who_reads_a_process_that_is_never_started_sees_its_end() {
    let (_dir, path) = fifo();
    let mut reader = pipe::OpenOptions::new().open_receiver(&path).unwrap();
    let (_guest, host) = UnixStream::pair().unwrap();
    let process = Process::new("container", "", Stdio::default());
    let mut output = process.output.lock().await;
    output.pump(host.into_split().0, &path).unwrap();
    drop(output);
    process.disconnect().await;
    let mut got = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), reader.read_to_end(&mut got));
    assert_eq!(read.await.unwrap().unwrap(), 0);
}
