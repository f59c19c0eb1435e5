use super::*;

/// What is written of one row.
fn written(form: Form, row: &HourRow, by: By) -> String {
    let mut text = Vec::new();
    let mut rows = Rows::new(form, by, &mut text).unwrap();
    rows.row(row).unwrap();
    rows.end().unwrap();
    String::from_utf8(text).unwrap()
}

fn row(sandbox: Option<skete_ledger::SandboxKey>) -> HourRow {
    HourRow {
        hour: 490_000,
        namespace: "shop".into(),
        namespace_uid: String::new(),
        sandbox,
        quantities: Quantities::default(),
    }
}

#[test]
fn a_row_has_its_columns_whatever_its_pod_is_called() {
    let pod = skete_ledger::SandboxKey {
        pod: "a,\"b\"\nc".into(),
        pod_uid: "u".into(),
        node: "n".into(),
        sandbox: "s".into(),
    };
    let text = written(Form::Csv, &row(Some(pod.clone())), By::Sandbox);
    let mut csv = csv::Reader::from_reader(text.as_bytes());
    let columns = csv.headers().unwrap().len();
    assert_eq!(columns, 7 + Quantities::NAMES.len());
    let record = csv.records().next().unwrap().unwrap();
    assert_eq!(&record[0], "2025-11-24T16:00:00Z");
    assert_eq!((&record[3], record.len()), ("a,\"b\"\nc", columns));

    let text = written(Form::Jsonl, &row(Some(pod)), By::Sandbox);
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["pod"], "a,\"b\"\nc");
    assert_eq!(line.as_object().unwrap().len(), columns);
}

#[test]
fn a_namespaces_row_names_no_pod() {
    let text = written(Form::Csv, &row(None), By::Namespace);
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("hour,namespace,namespaceUid,timeNs,"),
        "{text}"
    );
    assert!(
        lines[1].starts_with("2025-11-24T16:00:00Z,shop,,0,0,"),
        "{text}"
    );
    let text = written(Form::Jsonl, &row(None), By::Namespace);
    assert!(!text.contains("pod"), "{text}");
}

#[test]
fn a_reader_that_has_gone_is_told_from_a_disk_that_is_full() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for form in [Form::Csv, Form::Jsonl] {
        let mut rows = Rows::new(form, By::Namespace, Gone).unwrap();
        let failed = (0..1000).find_map(|_| rows.row(&row(None)).err()).unwrap();
        assert_eq!(failed.kind(), io::ErrorKind::BrokenPipe, "{form:?}");
    }
}

#[test]
fn a_time_within_an_hour_is_refused() {
    let at = |text: &str| hour("--since", Some(text.parse().unwrap()));
    assert_eq!(at("2025-11-24T16:00:00Z").unwrap(), Some(490_000));
    let refused = at("2025-11-24T16:00:00.5Z").unwrap_err();
    assert!(
        refused.message().unwrap().contains("is not a whole hour"),
        "{refused:?}"
    );
}
