use super::*;

#[test]
fn a_log_keeps_the_newest_and_never_more_than_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("console.log");
    let older = dir.path().join("console.log.1");
    let mut log = Log::create(&path, 100).unwrap();
    let mut all = Vec::new();
    for n in 0..37_u8 {
        let bytes = vec![n; usize::from(n)];
        log.write(&bytes).unwrap();
        all.extend_from_slice(&bytes);
        let mut kept = std::fs::read(&older).unwrap_or_default();
        kept.extend(std::fs::read(&path).unwrap());
        assert!(kept.len() <= 100);
        assert!(
            kept.len() >= all.len().min(50),
            "{} of {}",
            kept.len(),
            all.len()
        );
        assert!(all.ends_with(&kept));
    }
    log.write(&[9; 1000]).unwrap();
    assert_eq!(std::fs::read(&older).unwrap(), [9; 50]);
    assert!(std::fs::read(&path).unwrap().iter().all(|byte| *byte == 9));
}

#[test]
fn a_log_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("console.log");
    Log::create(&path, 100).unwrap();
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn lines_are_told_without_what_moves_a_cursor() {
    let tail = Tail::default();
    let bytes: &[u8] = b"\x1b[2J\x1b[31mred\r\n\n  \nnot \xff utf-8\0\nlast";
    keep(bytes, tail.clone(), None).await;
    assert_eq!(tail.lines(), ["[2J[31mred", "not \u{fffd} utf-8", "last"]);
}

#[tokio::test]
async fn the_memory_that_a_stream_takes_is_bounded() {
    let tail = Tail::default();
    let mut bytes = vec![b'x'; 3 * TAIL];
    bytes.extend_from_slice(b"\nend");
    keep(bytes.as_slice(), tail.clone(), None).await;
    assert_eq!(tail.lines().last().unwrap(), "end");
    assert!(tail.0.lock().unwrap().len() <= 2 * TAIL);
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_read_at_a_bounded_rate() {
    let begun = tokio::time::Instant::now();
    let flood = vec![b'x'; 3 * RATE];
    keep(flood.as_slice(), Tail::default(), None).await;
    assert!(
        begun.elapsed() >= Duration::from_millis(2500),
        "{:?}",
        begun.elapsed()
    );
}
