use tokio::net::UnixListener;

use super::*;

/// A vsock device that reads one line and answers with `answer`, once.
fn device(answer: Vec<u8>) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vsock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let line = read_line(&mut stream).await.unwrap();
        assert_eq!(line, "CONNECT 1025");
        let _ = stream.write_all(&answer).await;
        // What the engine writes must not fail for want of a reader.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    });
    (dir, path)
}

async fn open(path: &Path) -> Result<UnixStream, AgentError> {
    connect_port(path, STDIO_PORT).await
}

#[tokio::test]
async fn bytes_after_the_devices_answer_belong_to_the_stream() {
    let (_dir, path) = device(b"OK 7\nfirst bytes".to_vec());
    let mut stream = open(&path).await.unwrap();
    let mut bytes = [0; 11];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"first bytes");
}

#[tokio::test]
async fn a_device_that_never_ends_its_line_is_given_up() {
    let (_dir, path) = device(vec![b'x'; 10 * MAX_LINE]);
    let error = open(&path).await.unwrap_err();
    assert!(
        matches!(
            error,
            AgentError::Connect {
                port: STDIO_PORT,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_guest_that_never_comes_up_is_told_from_one_that_is_slow() {
    let dir = tempfile::tempdir().unwrap();
    let connected = Agent::connect(&dir.path().join("none"), Duration::from_millis(20)).await;
    assert!(matches!(connected, Err(AgentError::NotReady(_))));
}

#[test]
fn a_guests_words_reach_a_terminal_in_one_line_without_controls() {
    let said = printable(&format!("a\x1b[2J\nb{}", "c".repeat(5000)));
    assert!(
        said.len() <= 1000 && !said.contains(['\n', '\x1b']),
        "{said}"
    );
}
