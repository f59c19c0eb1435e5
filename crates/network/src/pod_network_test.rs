use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;
use crate::machine::{Machine, fetch, outside, published};

#[test]
fn pods_reach_each_other_and_the_outside_but_not_the_metadata() {
    reach_the_outside(Machine::new());
}

#[test]
fn pods_reach_each_other_and_the_outside_through_a_firewall() {
    reach_the_outside(Machine::walled());
}

fn reach_the_outside(machine: Machine) {
    let outside = outside(&machine);
    let a = machine.create("a", &Kind::Cni(vec![])).unwrap();
    let b = machine.create("b", &Kind::Cni(vec![])).unwrap();

    assert!(a.pings(b.v4()) && b.pings(a.v4()));
    assert!(a.pings(b.v6()) && b.pings(a.v6()));
    // The outside has no route back to the Pods' networks: the host masquerades them.
    assert!(a.pings("192.0.2.1".parse().unwrap()));
    assert!(a.pings("2001:db8::1".parse().unwrap()));
    let metadata: [IpAddr; 2] = [
        "169.254.169.254".parse().unwrap(),
        "fd00:ec2::254".parse().unwrap(),
    ];
    for address in metadata {
        assert!(!a.pings(address), "{address}");
        assert!(
            machine
                .host
                .try_run(&format!("busybox ping -c 1 -W 2 {address}"))
                .0
        );
    }
    drop(outside);
    machine.remove("a").unwrap();
    machine.remove("b").unwrap();
}

#[test]
fn a_published_port_leads_to_the_pod() {
    published_port(Machine::new());
}

#[test]
fn a_published_port_leads_to_the_pod_through_a_firewall() {
    published_port(Machine::walled());
}

fn published_port(machine: Machine) {
    let outside = outside(&machine);
    let ports = Kind::Cni(
        [(8080, None), (8081, Some("127.0.0.1"))]
            .map(|(host_port, ip): (u16, Option<&str>)| PortMapping {
                host_port,
                container_port: 80,
                protocol: Protocol::Tcp,
                host_ip: ip.map(|ip| ip.parse().unwrap()),
            })
            .to_vec(),
    );
    let pod = machine.create("web", &ports).unwrap();
    let other = machine.create("other", &Kind::Cni(vec![])).unwrap();

    for (from, address, port) in [
        (&outside, "192.0.2.2", 8080),
        (&outside, "2001:db8::2", 8080),
        (&machine.host, "127.0.0.1", 8080),
        (&machine.host, "127.0.0.1", 8081),
        (&other.namespace, "192.0.2.2", 8080),
        (&pod.namespace, "192.0.2.2", 8080),
    ] {
        let server = pod.serve(80);
        assert_eq!(fetch(from, address, port), "here\n", "{address} {port}");
        server.join().unwrap();
    }
    assert!(fetch(&outside, "192.0.2.2", 8081).contains("refused"));
    machine.remove("web").unwrap();
    machine.remove("other").unwrap();
    machine.assert_nothing_left("web", &pod.network.addresses);
}

#[test]
fn removing_leaves_nothing_and_is_no_error_twice() {
    let machine = Machine::walled();
    let before = machine.create("first", &Kind::Cni(vec![])).unwrap();
    machine.remove("first").unwrap();
    let rules = machine.rules();
    let ports = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|protocol| PortMapping {
        host_port: 8080,
        container_port: 80,
        protocol,
        host_ip: None,
    });
    let pod = machine.create("pod", &Kind::Cni(ports.to_vec())).unwrap();
    assert!(machine.rules().contains(&pod.v4().to_string()));

    machine.remove("pod").unwrap();
    machine.remove("pod").unwrap();

    machine.assert_nothing_left("pod", &pod.network.addresses);
    machine.assert_nothing_left("first", &before.network.addresses);
    // Portmap's own chains stay, empty, for the next.
    let chain = |line: &&str| line.starts_with("-A CNI") && !line.contains("CNI-");
    assert_eq!(machine.rules().lines().filter(chain).count(), 0, "{rules}");
}

#[test]
fn a_namespace_that_has_vanished_leaves_nothing_either() {
    let machine = Machine::walled();
    let pod = machine
        .create("gone", &published(8080, Protocol::Tcp, None))
        .unwrap();
    netns::delete(&pod.namespace.name).unwrap();

    machine.remove("gone").unwrap();

    machine.assert_nothing_left("gone", &pod.network.addresses);
}

#[test]
fn a_pod_whose_interface_has_been_attached_to_leaves_nothing() {
    let machine = Machine::walled();
    let _outside = outside(&machine);
    machine.host.run("ip link set up0 mtu 1400");
    let pod = machine
        .create("vm", &published(8080, Protocol::Tcp, None))
        .unwrap();
    let state = machine.directory.path().join("network.json");
    let attachment = crate::attach(&pod.network.netns, &state).unwrap();
    let [eth0] = &attachment.interfaces[..] else {
        panic!("{attachment:?}")
    };
    assert_eq!((eth0.addresses.len(), eth0.mtu), (2, 1400));
    assert!(
        eth0.routes
            .iter()
            .any(|route| route.destination.prefix_len() == 0)
    );
    drop(attachment);

    machine.remove("vm").unwrap();

    machine.assert_nothing_left("vm", &pod.network.addresses);
}

#[test]
fn a_pod_without_a_network_has_loopback_only() {
    let machine = Machine::new();
    let pod = machine.create("lonely", &Kind::Loopback).unwrap();

    assert!(pod.network.addresses.is_empty());
    assert!(pod.pings("127.0.0.1".parse().unwrap()));
    assert_eq!(pod.namespace.run("ip -oneline link").lines().count(), 1);
    machine.remove("lonely").unwrap();
    machine.assert_nothing_left("lonely", &[]);
}

#[test]
fn a_port_in_use_is_refused_by_its_users_name() {
    let machine = Machine::new();
    machine
        .create("one", &published(8080, Protocol::Tcp, Some("127.0.0.1")))
        .unwrap();
    let listen = || TcpListener::bind("0.0.0.0:9090");
    let _process = netns::inside(&machine.host.path, listen).unwrap().unwrap();

    let error = |kind| machine.create("two", &kind).err().unwrap().to_string();
    assert_eq!(
        error(published(8080, Protocol::Tcp, None)),
        format!(
            "port 8080/tcp of this machine is in use by Pod {}",
            machine.id("one")
        )
    );
    assert_eq!(
        error(published(9090, Protocol::Tcp, None)),
        "port 9090/tcp of this machine is in use by another process"
    );
    let free = machine
        .create("two", &published(8080, Protocol::Udp, None))
        .unwrap();
    machine.remove("one").unwrap();
    machine.remove("two").unwrap();
    machine.assert_nothing_left("two", &free.network.addresses);
}

#[test]
fn a_pod_of_the_same_id_keeps_its_network() {
    let machine = Machine::new();
    let pod = machine.create("twin", &Kind::Cni(vec![])).unwrap();

    let error = machine.create("twin", &Kind::Cni(vec![])).err().unwrap();

    assert!(matches!(error, Error::Exists(_)), "{error}");
    assert!(pod.pings("10.83.0.1".parse().unwrap()));
    machine.remove("twin").unwrap();
}

#[test]
fn a_namespace_that_is_anothers_stays() {
    let machine = Machine::new();
    let pod = machine.create("same", &Kind::Loopback).unwrap();
    let id = machine.id("same");
    let mut other = machine.networks.clone();
    other.records = Records::new(machine.directory.path().join("other"));

    let error = other.create(&id, &Kind::Loopback).unwrap_err();

    assert!(
        matches!(error, Error::Namespace(netns::Error::Exists(_))),
        "{error}"
    );
    assert_eq!(other.list().unwrap(), Vec::<String>::new());
    assert!(netns::is_at(&pod.network.netns));
    machine.remove("same").unwrap();
}

#[test]
fn a_plugin_that_is_not_installed_is_named_and_nothing_is_left() {
    let mut machine = Machine::new();
    machine.networks.plugins = vec!["/nowhere".into()];

    let error = machine.create("bare", &Kind::Cni(vec![])).err().unwrap();

    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        source.starts_with("the CNI plugin bridge is not in /nowhere"),
        "{source}"
    );
    assert!(
        source.contains("apt install containernetworking-plugins"),
        "{source}"
    );
    machine.networks.plugins = vec!["/usr/lib/cni".into()];
    machine.remove("bare").unwrap();
    machine.assert_nothing_left("bare", &[]);
}

#[test]
fn a_users_own_configuration_is_taken() {
    let machine = Machine::new();
    let config = machine.directory.path().join("config");
    fs::create_dir(&config).unwrap();
    let list = r#"{"cniVersion":"1.0.0","name":"mine","plugins":[{"type":"ptp","ipMasq":true,
        "ipam":{"type":"host-local","dataDir":"DIR","subnet":"10.99.0.0/24"}}]}"#;
    let leases = machine.directory.path().join("mine");
    let list = list.replace("DIR", &leases.display().to_string());
    fs::write(config.join("mine.conflist"), list).unwrap();

    let pod = machine.create("user", &Kind::Cni(vec![])).unwrap();
    assert!(pod.v4().to_string().starts_with("10.99.0."));
    let error = machine
        .create("web", &published(80, Protocol::Tcp, None))
        .err()
        .unwrap();
    assert!(matches!(error, Error::NoPortMappings), "{error}");

    machine.remove("user").unwrap();
    machine.assert_nothing_left("user", &pod.network.addresses);
}

#[test]
fn a_users_masquerading_is_removed_where_its_plugin_leaves_it() {
    let machine = Machine::new();
    let config = machine.directory.path().join("config");
    fs::create_dir(&config).unwrap();
    let list = json!({ "cniVersion": "1.0.0", "name": "mine", "plugins": [{
        "type": "bridge", "bridge": "mine0", "isGateway": true, "ipMasq": true,
        "ipam": {
            "type": "host-local", "dataDir": machine.directory.path().join("mine"),
            "ranges": [[{ "subnet": "10.99.0.0/24" }], [{ "subnet": "fd99::/64" }]],
        },
    }] });
    fs::write(config.join("mine.conflist"), list.to_string()).unwrap();
    let stays = machine.create("stays", &Kind::Cni(vec![])).unwrap();

    let gone = machine.create("gone", &Kind::Cni(vec![])).unwrap();
    netns::delete(&gone.namespace.name).unwrap();
    machine.remove("gone").unwrap();
    let attached = machine.create("attached", &Kind::Cni(vec![])).unwrap();
    let state = machine.directory.path().join("network.json");
    drop(crate::attach(&attached.network.netns, &state).unwrap());
    machine.remove("attached").unwrap();

    let rules = machine.rules();
    for name in ["gone", "attached"] {
        assert!(!rules.contains(&machine.id(name)), "{rules}");
    }
    assert_eq!(rules.matches(&machine.id("stays")).count(), 6, "{rules}");
    machine.remove("stays").unwrap();
    machine.assert_nothing_left("stays", &stays.network.addresses);
}

#[test]
fn twenty_pods_at_once_all_get_addresses_of_their_own() {
    let machine = Machine::walled();
    let ids: Vec<_> = (0..20).map(|i| format!("pod{i}")).collect();
    let pods: Vec<_> = std::thread::scope(|scope| {
        let start = |(i, id): (u16, &'_ String)| {
            let id = id.clone();
            let machine = &machine;
            scope.spawn(move || machine.create(&id, &published(8000 + i, Protocol::Tcp, None)))
        };
        let threads: Vec<_> = (0..).zip(&ids).map(start).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap().unwrap())
            .collect()
    });

    let mut addresses: Vec<_> = pods.iter().flat_map(|pod| &pod.network.addresses).collect();
    addresses.sort();
    addresses.dedup();
    assert_eq!(addresses.len(), 40);
    let removed: Vec<_> = std::thread::scope(|scope| {
        let machine = &machine;
        let threads: Vec<_> = ids
            .iter()
            .map(|id| scope.spawn(move || machine.remove(id)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(removed.iter().all(Result::is_ok), "{removed:?}");
    machine.assert_nothing_left("pod0", &pods[0].network.addresses);
}

/// Run as a process of its own by the test below, which kills it.
#[test]
#[ignore = "a part of another test"]
fn create_and_remove_for_ever() {
    let directory = PathBuf::from(std::env::var_os("SKETE_TEST_STATE").unwrap());
    let id = std::env::var("SKETE_TEST_ID").unwrap();
    let networks = PodNetworks::new(
        directory.join("config"),
        vec!["/usr/lib/cni".into()],
        directory.join("state"),
    );
    loop {
        networks
            .create(&id, &published(8080, Protocol::Tcp, None))
            .unwrap();
        networks.remove(&id).unwrap();
    }
}

#[test]
fn whatever_moment_it_is_killed_at_a_sweep_leaves_nothing() {
    let machine = Machine::walled();
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .subsec_nanos();
    println!("seed {seed}");
    let mut random = u64::from(seed);
    for _ in 0..12 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let moment = Duration::from_micros((random >> 33) % 500_000);
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args([
                "--ignored",
                "--exact",
                "pod_network::tests::create_and_remove_for_ever",
            ])
            .env("SKETE_TEST_STATE", machine.directory.path())
            .env("SKETE_TEST_ID", machine.id("killed"))
            .stdout(std::process::Stdio::null());
        let mut child = netns::inside(&machine.host.path, || command.spawn())
            .unwrap()
            .unwrap();
        std::thread::sleep(moment);
        child.kill().unwrap();
        child.wait().unwrap();

        let alive = |_: &str| false;
        let swept = netns::inside(&machine.host.path, || machine.networks.sweep(alive)).unwrap();

        for Swept { id, removed } in swept.unwrap() {
            removed.unwrap_or_else(|error| panic!("{id}: {error:?} at {moment:?}"));
        }
        machine.assert_nothing_left("killed", &[]);
        let rules = machine.rules();
        assert!(
            !rules.contains("10.83.0.") && !rules.contains("8080"),
            "{moment:?}: {rules}"
        );
    }
}

/// Prints how long a network takes: `cargo test -p skete-network --release -- --ignored
/// --nocapture a_network_takes`.
#[test]
#[ignore = "a measurement"]
fn a_network_takes_tens_of_milliseconds() {
    let machine = Machine::new();
    for (name, kind) in [
        ("loopback", Kind::Loopback),
        ("bridge", Kind::Cni(vec![])),
        ("bridge and a port", published(8080, Protocol::Tcp, None)),
    ] {
        let mut times: Vec<_> = (0..10)
            .map(|_| {
                let start = Instant::now();
                machine.create("timed", &kind).unwrap();
                let created = start.elapsed();
                let start = Instant::now();
                machine.remove("timed").unwrap();
                (created, start.elapsed())
            })
            .collect();
        times.sort();
        println!(
            "{name}: create {:?}, remove {:?} (medians by create)",
            times[5].0, times[5].1
        );
    }
}
