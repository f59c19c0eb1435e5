use super::*;

fn parse(line: &str) -> Result<Parsed, Error> {
    Args::parse(line.split_whitespace().map(OsString::from))
}

#[test]
fn paths_and_defaults() {
    let parsed = parse("--socket /a --uds-path /b");

    assert_eq!(
        parsed,
        Ok(Parsed::Run(Args {
            vhost: Listen::Path("/a".into()),
            host: Listen::Path("/b".into()),
            uds_path: "/b".into(),
            guest_cid: 3,
            parent: None,
        }))
    );
}

#[test]
fn inherited_sockets_and_all_else() {
    let parsed = parse("--socket-fd 3 --uds-fd 4 --uds-path /b --guest-cid 99 --parent 12");

    assert_eq!(
        parsed,
        Ok(Parsed::Run(Args {
            vhost: Listen::Fd(3),
            host: Listen::Fd(4),
            uds_path: "/b".into(),
            guest_cid: 99,
            parent: Some(12),
        }))
    );
}

#[test]
fn each_mistake_is_one_clear_line() {
    let lines = [
        ("", "--socket or --socket-fd is missing; see --help"),
        ("--socket /a", "--uds-path is missing; see --help"),
        ("--sock /a", "unknown argument \"--sock\"; see --help"),
        ("--socket /a --socket /b", "--socket is given twice"),
        ("--socket", "--socket needs a value"),
        (
            "--socket /a --socket-fd 3 --uds-path /b",
            "--socket and --socket-fd exclude each other",
        ),
        (
            "--socket-fd 3 --uds-fd 3 --uds-path /b",
            "--socket-fd and --uds-fd are the same",
        ),
        (
            "--socket-fd 2 --uds-path /b",
            "--socket-fd \"2\": not a number from 3 to 2147483647",
        ),
        (
            "--socket /a --uds-path /b --guest-cid 2",
            "--guest-cid \"2\": not a number from 3 to 4294967294",
        ),
        (
            "--socket /a --uds-path /b --guest-cid x",
            "--guest-cid \"x\": not a number from 3 to 4294967294",
        ),
    ];
    for (line, message) in lines {
        assert_eq!(parse(line).unwrap_err().to_string(), message);
    }
}

#[test]
fn help_names_every_option() {
    let Ok(Parsed::Print(help)) = parse("--help") else {
        panic!("no help");
    };
    for option in OPTIONS {
        assert!(help.contains(option), "{option}");
    }
}
