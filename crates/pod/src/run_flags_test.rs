use super::*;

#[test]
fn sizes_are_those_of_docker_run() {
    let table = [
        ("512m", 512 << 20),
        ("512M", 512 << 20),
        ("512mb", 512 << 20),
        ("512Mi", 512 << 20),
        ("1g", 1 << 30),
        ("1.5g", 3 << 29),
        ("4096", 4096),
        ("4096b", 4096),
        ("64k", 64 << 10),
    ];
    for (text, size) in table {
        assert_eq!(bytes(text), Ok(size), "{text}");
    }
    for text in ["", "m", "64Mo", "-1m", "1 g", "0", "1e3", "99999999t", "ü"] {
        assert!(bytes(text).is_err(), "{text}");
    }
}

#[test]
fn ports_are_published_as_with_docker_run() {
    let one = |text: &str| {
        let ports = publish(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(ports.len(), 1, "{text}");
        let port = &ports[0];
        let protocol = port.protocol.clone().unwrap();
        let ip = port.host_ip.clone().unwrap_or_default();
        (ip, port.host_port.unwrap(), port.container_port, protocol)
    };
    let port = |ip: &str, host, container, protocol: &str| {
        (ip.to_owned(), host, container, protocol.to_owned())
    };
    assert_eq!(one("8080:80"), port("", 8080, 80, "TCP"));
    assert_eq!(
        one("127.0.0.1:8080:80/udp"),
        port("127.0.0.1", 8080, 80, "UDP")
    );
    assert_eq!(one("[::1]:8080:80"), port("::1", 8080, 80, "TCP"));
    assert_eq!(one("::1:8080:80"), port("::1", 8080, 80, "TCP"));

    let ports = publish("8000-8002:80-82").unwrap();
    let ports: Vec<_> = ports
        .iter()
        .map(|p| (p.host_port.unwrap(), p.container_port))
        .collect();
    assert_eq!(ports, [(8000, 80), (8001, 81), (8002, 82)]);

    let wrong = [
        "80",
        ":80",
        "80:",
        "0:80",
        "80:65536",
        "a:b",
        "80:80/icmp",
        "1.2.3:80:80",
        "[::1:80:80",
        "[::1]80:80",
        "80-82:80",
        "82-80:82-80",
        "1-65535:1-65535",
        "",
        "host:80:80",
        "+1:80",
    ];
    for text in wrong {
        assert!(publish(text).is_err(), "{text}");
    }
}

#[test]
fn files_of_variables_are_read_as_docker_reads_them() {
    let environment = |name: &str| (name == "HERE").then(|| "here".to_owned());
    let text = "\u{feff}# comment\n\n  A=1\nB= two words \nC=\"quoted\"\nHERE\nGONE\nD=a=b\n";
    let variables = env_file(text, environment).unwrap();
    let expected = [
        ("A", "1"),
        ("B", " two words "),
        ("C", "\"quoted\""),
        ("HERE", "here"),
        ("D", "a=b"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(variables, expected);
    assert!(
        env_file("A=1\nA B=2\n", environment)
            .unwrap_err()
            .starts_with("line 2: ")
    );
    assert!(
        env_file("=1\n", environment)
            .unwrap_err()
            .starts_with("line 1: ")
    );
}

#[test]
fn users_are_numbers_or_left_to_the_guest() {
    assert_eq!(user(None), (None, None, None));
    assert_eq!(user(Some("0")), (Some(0), None, None));
    assert_eq!(user(Some("1:2")), (Some(1), Some(2), None));
    assert_eq!(user(Some("app")), (None, None, Some("app".to_owned())));
    assert_eq!(user(Some("1:app")), (None, None, Some("1:app".to_owned())));
}

#[test]
fn hosts_volumes_and_tmpfs_are_checked() {
    assert_eq!(
        add_host("db:10.0.0.1"),
        Ok(("db".into(), "10.0.0.1".into()))
    );
    assert_eq!(add_host("db:[::1]"), Ok(("db".into(), "::1".into())));
    assert_eq!(add_host("db=::1"), Ok(("db".into(), "::1".into())));
    for text in ["db", "db:nowhere", "d b:10.0.0.1", "db:host-gateway"] {
        assert!(add_host(text).is_err(), "{text}");
    }
    assert_eq!(volume("/data"), Ok("/data"));
    for text in ["data:/data", "./a:/a", "/a:/b:ro", "data"] {
        assert!(volume(text).is_err(), "{text}");
    }
    assert_eq!(tmpfs("/tmp"), Ok(("/tmp", None)));
    assert_eq!(tmpfs("/tmp:rw,size=1m"), Ok(("/tmp", Some(1 << 20))));
    for text in ["tmp", "/tmp:mode=700", "/tmp:size=x"] {
        assert!(tmpfs(text).is_err(), "{text}");
    }
}
