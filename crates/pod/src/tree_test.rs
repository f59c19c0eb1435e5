use super::*;

fn one(text: &str) -> Node {
    let mut documents = parse(text.as_bytes()).unwrap();
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0)
}

fn value(text: &str) -> Value {
    one(&format!("v: {text}\n")).get("v").unwrap().value.clone()
}

fn number(text: &str, value: i64) -> Value {
    Value::Number(text.to_owned(), value.into())
}

#[test]
fn plain_scalars_mean_what_they_mean_to_kubernetes() {
    let table = [
        ("0644", number("0644", 420)),
        ("0o644", number("0o644", 420)),
        ("0x1f", number("0x1f", 31)),
        ("1_000", number("1_000", 1000)),
        ("-7", number("-7", -7)),
        ("yes", Value::Bool(true)),
        ("off", Value::Bool(false)),
        ("~", Value::Null),
        ("\"yes\"", Value::Text("yes".into())),
        ("!!str 80", Value::Text("80".into())),
        ("64Mi", Value::Text("64Mi".into())),
        ("1.2.3", Value::Text("1.2.3".into())),
        ("2026-11-23", Value::Text("2026-11-23".into())),
        (
            "089",
            Value::Number("089".into(), Number::from_f64(89.0).unwrap()),
        ),
        (
            "0.5",
            Value::Number("0.5".into(), Number::from_f64(0.5).unwrap()),
        ),
        (".inf", Value::Text(".inf".into())),
    ];
    for (text, expected) in table {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn documents_are_split_and_empty_ones_left_out() {
    let documents = parse(b"---\n# nothing\n---\na: 1\n---\nb: 2\n...\n").unwrap();
    assert_eq!(documents.len(), 2);
    assert!(documents[1].get("b").is_some());
}

#[test]
fn values_remember_their_lines() {
    let node = one("a:\n  b:\n  - x\n  - z: 1\n");
    let list = node.get("a").unwrap().get("b").unwrap();
    let Value::List(items) = &list.value else {
        panic!("{list:?}")
    };
    assert_eq!(items[0].line, 3);
    assert_eq!(items[1].get("z").unwrap().line, 4);
}

#[test]
fn json_is_read_as_json() {
    let node = one("{\n\t\"a\": \"\\ud83d\\ude00\",\n\t\"b\": [1, null, true, 0.5]\n}");
    assert_eq!(node.get("a").unwrap().text(), Some("😀"));
    assert_eq!(parse(b"{\"a\":1}\n{\"b\":2}").unwrap().len(), 2);
}

#[test]
fn a_key_given_twice_is_refused_in_both_forms() {
    assert_eq!(
        parse(b"a: 1\nb: 2\na: 3\n"),
        Err(TreeError::DuplicateKey(3, "a".into()))
    );
    let error = parse(b"{\"a\":1,\n\"a\":2}").unwrap_err();
    assert_eq!(error.line(), Some(2));
    assert!(
        error.to_string().contains("\"a\" is given twice"),
        "{error}"
    );
}

#[test]
fn aliases_and_merge_keys_are_resolved() {
    let node = one("base: &b\n  x: 1\n  z: 2\nuse:\n  <<: *b\n  z: 3\nlist: [*b, *b]\n");
    let merged = node.get("use").unwrap();
    assert_eq!(merged.get("x").unwrap().value, number("1", 1));
    assert_eq!(merged.get("z").unwrap().value, number("3", 3));
    assert_eq!(parse(b"a: &a\n  b: *a\n"), Err(TreeError::Alias(2)));
}

#[test]
fn a_bomb_of_aliases_is_refused_before_it_costs_anything() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..30 {
        let below = format!("*a{}", level - 1);
        let list = vec![below; 10].join(",");
        text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    assert!(matches!(parse(text.as_bytes()), Err(TreeError::TooMany(_))));

    let big = "x".repeat(1 << 20);
    let many = vec!["*a"; 1000].join(",");
    let text = format!("a: &a \"{big}\"\nb: [{many}]\n");
    assert!(matches!(parse(text.as_bytes()), Err(TreeError::TooMany(_))));
}

#[test]
fn what_is_nested_too_deep_is_refused() {
    let flow = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    assert!(parse(flow.as_bytes()).is_err());
    let json = format!("{{\"a\": {}{}}}", "[".repeat(5000), "]".repeat(5000));
    assert!(matches!(parse(json.as_bytes()), Err(TreeError::Json(..))));
    let block: String = (0..300).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    assert!(matches!(
        parse(block.as_bytes()),
        Err(TreeError::TooDeep(_))
    ));
}

#[test]
fn what_is_no_yaml_is_refused_with_its_line() {
    let table: [(&[u8], Option<u32>); 6] = [
        (b"a: [1, 2\nb: 3\n", Some(2)),
        (b"on: 1\n", Some(1)),
        (b"\xff\xfe", None),
        (b"a: !!binary aGk=\n", Some(1)),
        (b"? [a, b]\n: 1\n", Some(1)),
        (b"<<: 1\n", Some(1)),
    ];
    for (text, line) in table {
        let error = parse(text).unwrap_err();
        assert_eq!(error.line(), line, "{error} in {text:?}");
    }
}
