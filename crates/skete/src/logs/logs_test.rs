use super::*;

fn all(path: &std::path::Path, selection: Selection) -> Vec<Line> {
    let mut lines = Vec::new();
    let reader = LogReader::new(path);
    reader
        .read(selection, |line| {
            lines.push(line);
            Ok(())
        })
        .unwrap();
    lines
}

fn texts(lines: &[Line]) -> Vec<String> {
    let text = |line: &Line| String::from_utf8(line.text.clone()).unwrap();
    lines.iter().map(text).collect()
}

#[test]
fn what_is_written_has_the_form_that_the_cri_prescribes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let mut log = LogWriter::open(&path).unwrap();

    log.write(Stream::Stdout, b"one\ntw").unwrap();
    log.write(Stream::Stderr, b"bad\n").unwrap();
    log.write(Stream::Stdout, b"o\nthree").unwrap();
    log.flush().unwrap();

    let raw = std::fs::read_to_string(&path).unwrap();
    let rest: Vec<_> = raw.lines().map(|l| l.split_once(' ').unwrap().1).collect();
    assert_eq!(
        rest,
        [
            "stdout F one",
            "stderr F bad",
            "stdout F two",
            "stdout P three"
        ]
    );
    for line in raw.lines() {
        let time = line.split(' ').next().unwrap();
        // 2016-10-06T00:17:09.669794202Z
        assert_eq!(time.len(), 30, "{time}");
        assert!(time.ends_with('Z'));
    }
}

#[test]
fn a_long_line_is_cut_and_put_together_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let mut log = LogWriter::open(&path).unwrap();
    let long: Vec<u8> = (0..40_000).map(|i| b'a' + (i % 26) as u8).collect();

    log.write(Stream::Stdout, &long).unwrap();
    log.write(Stream::Stdout, b"\nnext\n").unwrap();

    let lines = all(&path, Selection::default());
    let tags: Vec<_> = lines.iter().map(|l| l.full).collect();
    assert_eq!(tags, [false, false, true, true]);
    let joined: Vec<u8> = lines[..3].iter().flat_map(|l| l.text.clone()).collect();
    assert_eq!(joined, long);
}

#[test]
fn a_line_of_just_the_longest_length_is_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let mut log = LogWriter::open(&path).unwrap();
    let mut line = vec![b'x'; 16 << 10];
    line.push(b'\n');

    log.write(Stream::Stdout, &line).unwrap();

    let lines = all(&path, Selection::default());
    assert_eq!(lines.len(), 1);
    assert!(lines[0].full);
}

#[test]
fn the_disk_that_a_log_takes_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let mut log = LogWriter::with_limit(&path, 4096).unwrap();

    for number in 0..1000 {
        log.write(Stream::Stdout, format!("line {number}\n").as_bytes())
            .unwrap();
    }

    let size: u64 = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(size <= 2 * 4096, "{size}");
    let lines = texts(&all(&path, Selection::default()));
    assert_eq!(lines.last().unwrap(), "line 999");
    // What is kept is whole: no line is missing between the first and the last.
    let first: usize = lines[0].strip_prefix("line ").unwrap().parse().unwrap();
    assert_eq!(lines.len(), 1000 - first);
}

#[test]
fn the_tail_counts_whole_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let mut log = LogWriter::open(&path).unwrap();
    log.write(Stream::Stdout, b"one\n").unwrap();
    log.write(Stream::Stdout, &vec![b'y'; 20_000]).unwrap();
    log.write(Stream::Stdout, b"\nthree\n").unwrap();

    let tail = |n| {
        all(
            &path,
            Selection {
                since: None,
                tail: Some(n),
            },
        )
    };

    assert!(tail(0).is_empty());
    assert_eq!(texts(&tail(1)), ["three"]);
    assert_eq!(tail(2).len(), 3);
    assert_eq!(tail(2)[0].text.len(), 16 << 10);
    assert_eq!(tail(100).len(), 4);
}

#[test]
fn what_came_before_a_time_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    std::fs::write(
        &path,
        "2026-01-01T00:00:00.000000000Z stdout F old\n\
         this is no line\n\
         2026-01-02T00:00:00.000000000Z stderr F new\n",
    )
    .unwrap();
    let selection = Selection {
        since: Some("2026-01-01T12:00:00Z".parse().unwrap()),
        tail: None,
    };

    let lines = all(&path, selection);

    assert_eq!(texts(&lines), ["new"]);
    assert_eq!(lines[0].stream, Stream::Stderr);
}

#[test]
fn a_reader_goes_on_over_the_turning_of_a_log() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    let mut log = LogWriter::with_limit(&path, 1024).unwrap();
    let mut seen = Vec::new();
    log.write(Stream::Stdout, b"line 0\n").unwrap();
    let mut follow = LogReader::new(&path)
        .read(Selection::default(), |line| {
            seen.push(line);
            Ok(())
        })
        .unwrap();

    for number in 1..200 {
        log.write(Stream::Stdout, format!("line {number}\n").as_bytes())
            .unwrap();
        if number % 10 == 0 {
            follow
                .more(&mut |line| {
                    seen.push(line);
                    Ok(())
                })
                .unwrap();
        }
    }
    follow
        .more(&mut |line| {
            seen.push(line);
            Ok(())
        })
        .unwrap();

    let wanted: Vec<_> = (0..200).map(|n| format!("line {n}")).collect();
    assert_eq!(texts(&seen), wanted);
}

#[test]
fn half_a_line_waits_for_its_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("0.log");
    std::fs::write(&path, "2026-01-01T00:00:00Z stdout F be").unwrap();
    let mut seen = Vec::new();
    let mut each = |line: Line| {
        seen.push(line);
        Ok(())
    };
    let mut follow = LogReader::new(&path)
        .read(Selection::default(), &mut each)
        .unwrap();

    use std::io::Write;
    let mut file = std::fs::File::options().append(true).open(&path).unwrap();
    file.write_all(b"gun\n").unwrap();
    follow.more(&mut each).unwrap();

    assert_eq!(texts(&seen), ["begun"]);
}

#[test]
fn logs_of_runs_are_in_the_order_of_their_numbers() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["10.log", "2.log", "0.log", "2.log.1", "x.log"] {
        std::fs::write(directory.path().join(name), b"").unwrap();
    }

    let runs: Vec<_> = files_of(directory.path())
        .unwrap()
        .into_iter()
        .map(|(n, _)| n)
        .collect();

    assert_eq!(runs, [0, 2, 10]);
    assert!(files_of(&directory.path().join("none")).unwrap().is_empty());
}

#[test]
fn of_a_container_that_is_started_again_and_again_two_logs_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    for run in 0..12 {
        forget_old(dir, run).unwrap();
        for name in [format!("{run}.log"), format!("{run}.log.1")] {
            std::fs::write(dir.join(name), b"").unwrap();
        }
    }
    let mut left: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["10.log", "10.log.1", "11.log", "11.log.1"]);
}
