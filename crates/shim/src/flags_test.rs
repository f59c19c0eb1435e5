use super::*;

fn parse(line: &str) -> Result<Flags, FlagsError> {
    Flags::parse(line.split_whitespace().map(OsString::from))
}

#[test]
fn the_command_lines_of_containerd_are_read() {
    let start = "-namespace k8s.io -address /run/c.sock -publish-binary /bin/containerd -id abc -debug start";
    let expected = Flags {
        action: "start".into(),
        namespace: "k8s.io".into(),
        id: "abc".into(),
        address: "/run/c.sock".into(),
        debug: true,
        ..Flags::default()
    };
    assert_eq!(parse(start), Ok(expected));
    let delete = parse("--namespace=k8s.io --id=abc -bundle /b delete").unwrap();
    assert_eq!(
        (delete.id.as_str(), delete.action.as_str()),
        ("abc", "delete")
    );
    assert!(parse("-info").unwrap().info);
    assert!(parse("-v").unwrap().version);
    assert!(!parse("-debug=false").unwrap().debug);
}

#[test]
fn an_empty_value_is_a_value() {
    let arguments = ["-address", "", "-id", "a", "start"].map(OsString::from);
    let flags = Flags::parse(arguments).unwrap();
    assert_eq!((flags.address.as_str(), flags.id.as_str()), ("", "a"));
}

#[test]
fn what_containerd_would_not_write_is_refused_by_name() {
    let message = |line| parse(line).unwrap_err().to_string();
    assert!(message("-idd x").starts_with("unknown flag -idd:"));
    assert_eq!(message("-id"), "the flag -id wants a value");
    assert_eq!(message("start again"), "\"again\" after the action");
}
