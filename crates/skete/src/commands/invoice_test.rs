use super::*;

const RECORD: &str = r#"{"pod": {"uid": "1", "name": "a", "namespace": "team-a", "node": "n",
    "architecture": "amd64", "runtime": "skete"}, "spans": [], "containerStarts": 1,
    "imageBytes": 0, "ended": "seen"}"#;

/// The UIDs of the records in a file of this text, or what is said of it behind the file's name.
fn read(text: &str) -> Result<Vec<String>, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut uids = Vec::new();
    let read = for_each_record(file.path(), |pod_use| {
        if pod_use.pod.uid == "2" {
            return Err(Failure::own("no"));
        }
        uids.push(pod_use.pod.uid.clone());
        Ok(())
    });
    let told = |failure: Failure| {
        let message = failure.message().unwrap_or_default().to_owned();
        let name = file.path().display().to_string();
        message
            .strip_prefix(&name)
            .map_or(message.clone(), str::to_owned)
    };
    read.map(|()| uids).map_err(told)
}

#[test]
fn a_record_is_a_line_and_empty_lines_are_none() {
    let line = RECORD.replace('\n', " ");
    assert_eq!(read(&format!("\n{line}\n  \n{line}")).unwrap(), ["1", "1"]);
    assert!(read("").unwrap().is_empty());
}

#[test]
fn what_is_no_record_is_told_with_its_line() {
    let line = RECORD.replace('\n', " ");
    let said = read(&format!("{line}\n{{\"pod\": 1}}\n")).unwrap_err();
    assert!(said.starts_with(":2: not a record of a Pod: "), "{said}");
    let second = line.replace("\"uid\": \"1\"", "\"uid\": \"2\"");
    assert_eq!(
        read(&format!("{line}\n\n{second}\n")).unwrap_err(),
        ":3: no"
    );
}
