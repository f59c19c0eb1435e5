use super::*;
use crate::netns;
use crate::testing::Namespace;

fn port(host_port: u16) -> PortMapping {
    PortMapping {
        host_port,
        container_port: 80,
        protocol: Protocol::Tcp,
        host_ip: Some(IpAddr::from([192, 0, 2, 1])),
    }
}

#[test]
fn the_users_first_list_by_name_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let list = |name: &str| format!(r#"{{"cniVersion":"0.4.0","name":"{name}","plugins":[{{}}]}}"#);
    std::fs::write(directory.path().join("20-b.conflist"), list("b")).unwrap();
    std::fs::write(directory.path().join("10-a.conflist"), list("a")).unwrap();
    std::fs::write(directory.path().join("00-readme.txt"), "no list").unwrap();

    let list = ConfList::load(directory.path()).unwrap().unwrap();

    assert_eq!(list.name, "a");
    assert!(
        ConfList::load(&directory.path().join("none"))
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_list_that_is_none_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.conflist");

    std::fs::write(&path, "{").unwrap();
    let error = ConfList::load(directory.path()).unwrap_err().to_string();
    assert!(
        error.contains("a.conflist is no CNI configuration list"),
        "{error}"
    );

    std::fs::write(&path, r#"{"cniVersion":"1.0.0","name":"a","plugins":[]}"#).unwrap();
    let error = ConfList::load(directory.path()).unwrap_err().to_string();
    assert!(error.contains("a.conflist names no plugins"), "{error}");
}

#[test]
fn only_a_plugin_that_publishes_ports_is_told_of_them() {
    let host = Namespace::new();
    let list = netns::inside(&host.path, || {
        ConfList::built_in(Path::new("/leases"), true, true)
    });

    let plugins = list.unwrap().unwrap().plugins(&[port(8080)]);

    let names: Vec<_> = plugins.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["bridge", "portmap", "firewall"]);
    assert_eq!(
        plugins[1].1["runtimeConfig"]["portMappings"],
        json!([{ "hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "192.0.2.1" }])
    );
    assert!(
        plugins
            .iter()
            .all(|(_, plugin)| plugin["cniVersion"] == "1.0.0")
    );
    assert!(!plugins[0].1.contains_key("runtimeConfig"));
}

#[test]
fn the_mtu_is_that_of_the_default_route() {
    let host = Namespace::new();
    assert_eq!(netns::inside(&host.path, mtu).unwrap().unwrap(), 1500);
    for (i, mtu) in [(1, 9000), (2, 1400)] {
        host.run(&format!(
            "ip link add up{i} mtu {mtu} type veth peer name down{i}"
        ));
        host.run(&format!("ip address add 192.0.2.{i}/25 dev up{i}"));
        host.run(&format!("ip link set up{i} up"));
        host.run(&format!(
            "ip route add default dev up{i} metric {}",
            30 - 10 * i
        ));
    }
    assert_eq!(netns::inside(&host.path, mtu).unwrap().unwrap(), 1400);
}
