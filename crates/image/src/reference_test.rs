use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn short_names_become_the_ones_that_docker_means() {
    for (typed, meant) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("someone/app", "docker.io/someone/app:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        (
            "index.docker.io/library/busybox",
            "docker.io/library/busybox:latest",
        ),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("ghcr.io/a/b/c:v1", "ghcr.io/a/b/c:v1"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
    ] {
        assert_eq!(parse(typed).unwrap().whole(), meant, "{typed}");
    }
}

#[test]
fn a_digest_is_kept_and_takes_no_tag_of_its_own() {
    let reference = parse(&format!("busybox@sha256:{HEX}")).unwrap();
    assert_eq!(reference.tag(), None);
    assert_eq!(digest(&reference).unwrap().hex(), HEX);
    let both = parse(&format!("busybox:1@sha256:{HEX}")).unwrap();
    assert_eq!(
        (both.tag(), digest(&both).unwrap().hex().as_str()),
        (Some("1"), HEX)
    );
}

#[test]
fn a_wrong_name_says_what_to_write() {
    for (typed, part) in [
        ("BusyBox", "try busybox"),
        ("", "want [REGISTRY"),
        ("a b", "want [REGISTRY"),
        ("https://docker.io/busybox", "want [REGISTRY"),
        ("../../etc/passwd", "want [REGISTRY"),
        ("busybox@sha256:abcd", "want [REGISTRY"),
        (&format!("busybox@sha512:{HEX}{HEX}"), "not sha256"),
        (
            &format!("busybox@sha256:{}", HEX.to_uppercase()),
            "not sha256",
        ),
    ] {
        let line = parse(typed).unwrap_err().to_string();
        assert!(line.contains(part), "{typed}: {line}");
        assert_eq!(line.lines().count(), 1);
    }
}

/// Every text of up to four characters out of those that mean something, and what `oci-spec`'s
/// regular expression says of it.
#[test]
fn the_names_are_those_of_the_specification() {
    let mut texts = vec![String::new()];
    let mut from = 0;
    for _ in 0..4 {
        let to = texts.len();
        for index in from..to {
            for c in ['a', 'A', '1', '.', '_', '-', ':', '/', '@'] {
                texts.push(format!("{}{c}", texts[index]));
            }
        }
        from = to;
    }
    for text in &texts {
        for suffix in [
            "",
            "/b:1",
            &format!("@sha256:{HEX}"),
            &format!("@a+b:{HEX}"),
        ] {
            let text = format!("{text}{suffix}");
            // It takes the capital of a name that is no registry's.
            let wanted: Option<Reference> = text.parse().ok();
            let wanted = wanted.filter(|r| !r.repository().contains('A'));
            assert_eq!(read(&text).ok(), wanted, "{text}");
        }
    }
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    let long = |length: usize| "a".repeat(length);
    assert!(parse(&format!("localhost/{}:{}", long(255), long(128))).is_ok());
    assert!(parse(&format!("localhost/{}", long(256))).is_err());
    assert!(parse(&format!("a:{}", long(129))).is_err());
}
