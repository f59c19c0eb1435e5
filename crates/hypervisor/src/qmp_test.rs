use super::*;

const LIMIT: Duration = Duration::from_secs(5);
const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\n";

/// A monitor that says these lines, whatever it is asked, and keeps the connection open.
async fn connect(lines: String) -> (Result<(Qmp, JoinHandle<()>), QmpError>, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    // Written as the client reads: the lines may be more than a socket holds.
    let writer = tokio::spawn(async move {
        let _ = theirs.write_all(lines.as_bytes()).await;
        theirs
    });
    let result = Qmp::connect(ours, LIMIT, |_| {}).await;
    (result, writer.await.unwrap())
}

#[test]
fn the_lines_of_the_protocol_are_read() {
    let greeting = parse(GREETING.trim().as_bytes()).unwrap();
    assert_eq!(greeting, Message::Greeting);
    assert_eq!(
        parse(b"{\"return\": {\"a\": 1}, \"id\": 7}").unwrap(),
        Message::Return {
            id: Some(7),
            value: json!({ "a": 1 })
        }
    );
    let refusal = b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\\nway\"}, \"id\": 1}";
    let description = "no way".to_owned();
    assert_eq!(
        parse(refusal).unwrap(),
        Message::Error {
            id: Some(1),
            description
        }
    );
    let event = b"{\"event\": \"STOP\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}";
    let stop = Event {
        name: "STOP".to_owned(),
        data: Value::Null,
    };
    assert_eq!(parse(event).unwrap(), Message::Event(stop));
}

#[test]
fn what_is_not_of_the_protocol_is_refused() {
    let deep = "[".repeat(10_000);
    let lines = [
        "",
        "null",
        "{}",
        "[]",
        "{\"return\": 1, \"event\": \"STOP\"}",
        "{\"QMP\": {}, \"return\": {}}",
        "{\"error\": \"a string\"}",
        "{\"error\": {}}",
        "{\"event\": 5}",
        "{\"return\": {}, \"id\": \"a string\"}",
        "{\"return\": {}, \"id\": -1}",
        "{\"return\": {}",
        "{\"return\": {}} {\"return\": {}}",
        "\u{0}",
        &deep,
    ];
    for line in lines {
        let result = parse(line.as_bytes());
        assert!(
            matches!(result, Err(QmpError::Malformed(_))),
            "{line:.40}: {result:?}"
        );
    }
    assert!(matches!(parse(b"\xff\xfe"), Err(QmpError::Malformed(_))));
}

#[test]
fn a_refusal_is_one_line_of_bounded_length() {
    let line = json!({ "error": { "desc": "x\u{1b}\n".repeat(5000) } }).to_string();
    match parse(line.as_bytes()).unwrap() {
        Message::Error { description, .. } => {
            assert!(description.chars().count() <= 512);
            assert!(!description.contains(char::is_control));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_gets_its_own_answer_and_events_go_their_way() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let monitor = tokio::spawn(async move {
        let (reader, mut writer) = theirs.into_split();
        let mut lines = BufReader::new(reader).lines();
        writer.write_all(GREETING.as_bytes()).await.unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            let asked: Value = serde_json::from_str(&line).unwrap();
            let id = asked["id"].as_u64().unwrap();
            let answer = match asked["execute"].as_str().unwrap() {
                "fail" => json!({ "error": { "class": "x", "desc": "not today" }, "id": id }),
                name => json!({ "return": { "did": name }, "id": id }),
            };
            // An event, and answers to commands that nobody gave, come before the right one.
            let other = json!({ "return": "wrong", "id": id + 1000 });
            let none = json!({ "return": "wrong" });
            let event = json!({ "event": "STOP" });
            let text = format!("{event}\n{other}\n{none}\n{answer}\n");
            writer.write_all(text.as_bytes()).await.unwrap();
        }
    });
    let hear = move |event: Event| events.send(event.name).unwrap();
    let (qmp, reader) = Qmp::connect(ours, LIMIT, hear).await.unwrap();
    let value = qmp.execute("cont", json!({}), LIMIT).await.unwrap();
    assert_eq!(value, json!({ "did": "cont" }));
    match qmp.execute("fail", json!({}), LIMIT).await {
        Err(QmpError::Refused(why)) => assert_eq!(why, "not today"),
        other => panic!("{other:?}"),
    }
    let value = qmp.execute("stop", json!({}), LIMIT).await.unwrap();
    assert_eq!(value, json!({ "did": "stop" }));
    assert_eq!(heard.recv().await.unwrap(), "STOP");
    drop(qmp);
    monitor.await.unwrap();
    reader.await.unwrap();
}

#[tokio::test]
async fn a_monitor_that_greets_wrongly_is_refused() {
    let (result, _theirs) = connect("{\"return\": {}}\n".to_owned()).await;
    assert!(matches!(result, Err(QmpError::Malformed(None))));
    let (result, _theirs) = connect("SSH-2.0-OpenSSH\n".to_owned()).await;
    assert!(matches!(result, Err(QmpError::Malformed(Some(_)))));
}

#[tokio::test]
async fn a_line_without_end_is_given_up() {
    let (result, _theirs) = connect("x".repeat(4 * MAX_LINE)).await;
    assert!(matches!(result, Err(QmpError::TooLong)));
    // After the greeting, too: who waits learns it at once and not after the limit.
    let (result, _theirs) = connect(format!("{GREETING}{}", "x".repeat(4 * MAX_LINE))).await;
    assert!(matches!(result, Err(QmpError::Closed)));
}

#[tokio::test]
async fn the_longest_line_that_is_allowed_is_read() {
    let padding = " ".repeat(MAX_LINE - GREETING.len() + 1);
    let greeting = format!("{padding}{GREETING}");
    assert_eq!(greeting.len(), MAX_LINE + 1);
    let line = next_line(&mut greeting.as_bytes()).await.unwrap().unwrap();
    assert_eq!(line.len(), MAX_LINE);
    let longer = format!(" {greeting}");
    assert!(matches!(
        next_line(&mut longer.as_bytes()).await,
        Err(QmpError::TooLong)
    ));
}

#[tokio::test]
async fn a_monitor_that_closes_amid_a_line_is_gone() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"{\"QMP\": {").await.unwrap();
    drop(theirs);
    assert!(matches!(
        Qmp::connect(ours, LIMIT, |_| {}).await,
        Err(QmpError::Closed)
    ));
}

#[tokio::test]
async fn a_monitor_that_is_silent_is_waited_for_with_a_limit() {
    let limit = Duration::from_millis(50);
    let (ours, _theirs) = UnixStream::pair().unwrap();
    assert!(matches!(
        Qmp::connect(ours, limit, |_| {}).await,
        Err(QmpError::Timeout(_))
    ));
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(GREETING.as_bytes()).await.unwrap();
    assert!(matches!(
        Qmp::connect(ours, limit, |_| {}).await,
        Err(QmpError::Timeout(_))
    ));
}
