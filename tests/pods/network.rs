//! Pods on the built-in network.

use crate::support::{Background, HELLO, Machine, eventually};

/// Serves a file that says who it is, for ever.
const SERVER: &str = "echo I am $0 > /tmp/index.html; httpd -f -p 80 -h /tmp";

/// A Pod's addresses: of IPv4 and IPv6.
fn addresses(machine: &Machine, pod: &str) -> (String, String) {
    let record = machine.inspect(pod);
    let mut all = record["network"]["addresses"].as_array().unwrap().iter();
    let mut next = || all.next().unwrap().as_str().unwrap().to_owned();
    let (v4, v6) = (next(), next());
    assert!(v4.contains('.') && v6.contains(':'), "{record}");
    (v4, v6)
}

/// What a web server says, asked from the machine. Not by wget's own timeout: with it, Debian's
/// static busybox crashes.
fn get(machine: &Machine, address: &str, port: u16) -> Option<String> {
    let url = format!("http://{address}:{port}/");
    let args = ["5", "busybox", "wget", "-q", "-O", "-", &url];
    let output = machine.command("timeout", &args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(said)
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn pods_reach_each_other_and_are_reached_through_published_ports() {
    let machine = Machine::new();
    let web = [
        "-p", "8080:80", "--name", "web", HELLO, "sh", "-c", SERVER, "web",
    ];
    machine.detached(&web);
    machine.detached(&["--name", "other", HELLO, "sleep", "1000"]);
    let (web4, web6) = addresses(&machine, "web");
    let (other4, _) = addresses(&machine, "other");
    assert_ne!(web4, other4);

    for (ping, address) in [("ping", &web4), ("ping6", &web6)] {
        machine
            .skete(&["exec", "other", ping, "-c", "1", "-W", "10", address])
            .exits(0);
    }
    let url = format!("http://{web4}/");
    let said = machine.skete(&["exec", "other", "wget", "-q", "-O", "-", &url]);
    assert_eq!(said.exits(0).out(), "I am web\n");

    let port = machine.skete(&["port", "web"]).exits(0).out();
    assert!(port.contains("8080"), "{port}");
    // By each address of the machine, its loopback too.
    for host in ["10.83.0.1", "127.0.0.1"] {
        let said = eventually("the published port", || get(&machine, host, 8080));
        assert_eq!(said, "I am web\n");
    }
    // The port is taken now.
    machine
        .skete(&["run", "-q", "--rm", "-p", "8080:80", HELLO, "true"])
        .refuses(125, &["8080"]);
    machine.skete(&["rm", "-f", "web", "other"]).exits(0);
    assert_eq!(get(&machine, "10.83.0.1", 8080), None);
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn pods_reach_the_outside_by_the_machines_address_and_never_its_metadata() {
    let machine = Machine::new();
    // The outside knows the machine's address and nothing of its Pods.
    let outside = machine.outside();
    machine.tool("ip", &["address", "add", "169.254.169.254/32", "dev", "lo"]);
    let dir = machine.path("");
    let pages = dir.to_str().unwrap();
    machine.file("index.html", "page\n");
    let mut here = machine.command("busybox", &["httpd", "-f", "-p", "80", "-h", pages]);
    let _here = Background::start(&mut here);
    let mut there = outside.command("busybox", &["httpd", "-f", "-p", "80", "-h", pages]);
    let _there = Background::start(&mut there);
    eventually("the machine's own metadata", || {
        get(&machine, "169.254.169.254", 80)
    });
    eventually("the outside", || get(&machine, "192.0.2.2", 80));

    let script = "for host in 192.0.2.2 10.83.0.1 169.254.169.254; do \
                  timeout 5 wget -q -O - http://$host/ 2>/dev/null || echo none; done; \
                  cat /sys/class/net/eth0/mtu; grep -c nameserver /etc/resolv.conf";
    let ended = machine.skete(&[
        "run",
        "--rm",
        "-q",
        "--dns",
        "192.0.2.2",
        HELLO,
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(ended.exits(0).out(), "page\npage\nnone\n1500\n1\n");
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_pod_cannot_speak_with_another_address_than_its_own() {
    let machine = Machine::new();
    let add = ["--cap-add", "NET_ADMIN"];
    let pod = |name| [&["--name", name][..], &add, &[HELLO, "sleep", "1000"]].concat();
    machine.detached(&pod("liar"));
    machine.detached(&pod("other"));
    let (own, _) = addresses(&machine, "liar");
    let (other, _) = addresses(&machine, "other");
    // What arrives here, counted by its source.
    machine.tool("nft", &["add", "table", "inet", "seen"]);
    let chain = "{ type filter hook prerouting priority -400; }";
    machine.tool("nft", &["add", "chain", "inet", "seen", "sources", chain]);
    for source in [&own, &other, "10.83.0.99"] {
        let rule = ["iifname", "skete0", "ip", "saddr", source, "counter"];
        machine.tool(
            "nft",
            &[&["add", "rule", "inet", "seen", "sources"][..], &rule].concat(),
        );
    }
    let ping = |source: &str| {
        let words = [
            "exec",
            "liar",
            "ping",
            "-c",
            "2",
            "-W",
            "1",
            "-I",
            source,
            "10.83.0.1",
        ];
        machine.skete(&words).code
    };
    assert_eq!(ping(&own), 0);
    for address in [other.as_str(), "10.83.0.99"] {
        let spoken = format!("{address}/16");
        machine
            .skete(&[
                "exec", "liar", "ip", "address", "add", &spoken, "dev", "eth0",
            ])
            .exits(0);
        assert_ne!(ping(address), 0, "an answer to {address}");
    }
    // Nor with another's hardware address.
    let lie = "ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:99; \
               ip link set eth0 up; ip address add 10.83.0.99/16 dev eth0; \
               ping -c 2 -W 1 10.83.0.1";
    let ended = machine.skete(&["exec", "liar", "sh", "-c", lie]);
    assert_ne!(ended.code, 0, "{}", ended.out());

    let seen = machine.tool("nft", &["list", "table", "inet", "seen"]);
    let packets = |source: &str| {
        let line = seen
            .lines()
            .find(|line| line.contains(&format!("saddr {source} ")));
        let words: Vec<_> = line.unwrap().split_whitespace().collect();
        let at = words.iter().position(|word| *word == "packets").unwrap();
        words[at + 1].parse::<u64>().unwrap()
    };
    assert!(packets(&own) > 0, "{seen}");
    assert_eq!(packets(&other), 0, "{seen}");
    assert_eq!(packets("10.83.0.99"), 0, "{seen}");
    // The other one is as reachable as before.
    machine.tool("busybox", &["ping", "-c", "1", "-W", "10", &other]);
    machine.tool("nft", &["delete", "table", "inet", "seen"]);
    machine.skete(&["rm", "-f", "liar", "other"]).exits(0);
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn the_example_of_a_web_server_serves_its_pages_on_a_port_of_the_host() {
    let machine = Machine::new();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/web.yaml");
    machine.detached(&[file]);
    let page = eventually("the page", || get(&machine, "127.0.0.1", 8080));
    assert_eq!(page, "Hello from a web server in a microVM.\n");
    machine.skete(&["stop", "web"]).exits(0);
}
