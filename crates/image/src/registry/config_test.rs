use super::*;

fn parse(text: &str) -> Result<Registries, Error> {
    Registries::parse(text, Path::new("registries.toml"))
}

#[test]
fn mirrors_come_first_and_each_host_has_its_own_settings() {
    let registries = parse(
        r#"
        [registry."docker.io"]
        mirrors = ["mirror.example:5000", "other.example"]
        [registry."mirror.example:5000"]
        insecure = true
        [registry."other.example"]
        ca = "/etc/ca.pem"
        "#,
    )
    .unwrap();
    let hosts = registries.hosts("docker.io");
    let names: Vec<_> = hosts
        .iter()
        .map(|host| (host.name.as_str(), host.plain_http, host.mirror))
        .collect();
    assert_eq!(
        names,
        [
            ("mirror.example:5000", true, true),
            ("other.example", false, true),
            ("docker.io", false, false)
        ]
    );
    assert_eq!(hosts[1].ca.as_deref(), Some(Path::new("/etc/ca.pem")));
}

#[test]
fn loopback_is_plain_http_unless_said_otherwise() {
    let registries = parse("[registry.\"127.0.0.1:5001\"]\ninsecure = false").unwrap();
    for (name, plain) in [
        ("localhost:5000", true),
        ("127.0.0.1:5000", true),
        ("127.8.9.1", true),
        ("[::1]:5000", true),
        ("127.0.0.1:5001", false),
        ("localhost.example", false),
        ("10.0.0.1:5000", false),
    ] {
        assert_eq!(registries.hosts(name)[0].plain_http, plain, "{name}");
    }
}

#[test]
fn a_wrong_file_is_named_with_line_and_key() {
    for (text, part) in [
        (
            "\n[registry.\"a.example\"]\nmirror = []",
            "line 3: unknown field `mirror`",
        ),
        (
            "[registry.\"a.example\"]\ninsecure = \"yes\"",
            "line 2: invalid type",
        ),
        ("[registry.", "line 1: "),
        (
            "[registry.\"https://a.example\"]",
            "\"https://a.example\" is not a registry",
        ),
        (
            "[registry.\"a.example\"]\nmirrors = [\"b.example/path\"]",
            "is not a registry",
        ),
        ("[registry.\"a.example:0\"]", "is not a registry"),
        ("[registry.\"a@b\"]", "is not a registry"),
    ] {
        let line = parse(text).unwrap_err().to_string();
        assert!(
            line.starts_with("registries.toml: ") && line.contains(part),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

#[test]
fn a_file_that_is_not_there_says_nothing() {
    let registries = Registries::read(Path::new("/nonexistent/registries.toml")).unwrap();
    assert_eq!(registries.hosts("docker.io").len(), 1);
}
