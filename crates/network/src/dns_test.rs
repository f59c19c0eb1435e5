use std::fs;

use super::*;

fn of_host(files: &[(&str, &str)]) -> Resolver {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    Resolver::of_host(root.path()).unwrap()
}

const STUB: (&str, &str) = (
    "etc/resolv.conf",
    "# local stub\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch stub.example\n",
);

#[test]
fn a_pod_asks_the_servers_of_the_host() {
    let resolver = of_host(&[(
        "etc/resolv.conf",
        "domain old.example\nnameserver 127.0.0.1\nnameserver 192.0.2.53 # the first\n\
         nameserver ::1\nnameserver fe80::1%eth0\nnameserver 2001:db8::53\n\
         search a.example b.example\noptions ndots:2\noptions edns0\nsortlist 192.0.2.0\n",
    )]);

    assert_eq!(
        resolver.to_string(),
        "nameserver 192.0.2.53\nnameserver 2001:db8::53\n\
         search a.example b.example\noptions ndots:2 edns0\n"
    );
}

#[test]
fn behind_a_local_server_a_pod_asks_those_that_it_asks() {
    let behind = (
        "run/systemd/resolve/resolv.conf",
        "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n\
         nameserver 192.0.2.4\nsearch up.example\n",
    );

    assert_eq!(
        of_host(&[STUB, behind]).to_string(),
        "nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nsearch up.example\n"
    );
}

#[test]
fn without_a_server_that_a_pod_reaches_there_is_none() {
    assert_eq!(of_host(&[STUB]).servers, Vec::<IpAddr>::new());
    assert_eq!(of_host(&[STUB]).search, ["stub.example"]);
    assert_eq!(of_host(&[]), Resolver::default());
}

#[test]
fn hosts_has_the_pods_name_at_each_address_and_the_aliases() {
    let addresses = ["10.83.0.2", "fd53::2"].map(|address| address.parse().unwrap());
    let aliases = [(
        "192.0.2.9".parse().unwrap(),
        vec!["db".to_owned(), "db.example".to_owned()],
    )];

    let text = hosts(
        "web",
        Some("sub.ns.svc.cluster.local"),
        &addresses,
        &aliases,
    );

    let lines: Vec<_> = text.lines().skip(6).collect();
    assert_eq!(
        lines,
        [
            "10.83.0.2\tweb.sub.ns.svc.cluster.local\tweb",
            "fd53::2\tweb.sub.ns.svc.cluster.local\tweb",
            "192.0.2.9\tdb\tdb.example",
        ]
    );
    assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
    assert!(hosts("lonely", None, &[], &[]).ends_with("127.0.0.1\tlonely\n"));
}
