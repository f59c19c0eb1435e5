use super::*;
use crate::netns;
use crate::testing::Namespace;

#[test]
fn a_host_whose_forwarding_is_filtered_is_known() {
    for (commands, filtered) in [
        (vec![], false),
        (vec!["iptables -P FORWARD ACCEPT"], false),
        (vec!["iptables -A INPUT -p icmp -j DROP"], false),
        (vec!["iptables -P FORWARD DROP"], true),
        (vec!["ip6tables -P FORWARD DROP"], true),
        (vec!["iptables -A FORWARD -j REJECT"], true),
        (
            vec![
                "iptables -N CNI-FORWARD",
                "iptables -A FORWARD -j CNI-FORWARD",
            ],
            false,
        ),
        (
            vec![
                "nft add table inet wall",
                "nft add chain inet wall f {type filter hook forward priority 0;policy drop;}",
            ],
            true,
        ),
    ] {
        let host = Namespace::new();
        for command in &commands {
            host.run(command);
        }
        let found = netns::inside(&host.path, apply).unwrap().unwrap();
        assert_eq!(
            found,
            filtered,
            "{commands:?}: {}",
            host.run("nft list ruleset")
        );
    }
}

#[test]
fn putting_the_rules_in_force_twice_leaves_them_once() {
    let host = Namespace::new();
    netns::inside(&host.path, apply).unwrap().unwrap();
    let once = host.run("nft list ruleset");

    netns::inside(&host.path, apply).unwrap().unwrap();

    assert_eq!(host.run("nft list ruleset"), once);
    assert_eq!(once.matches("masquerade").count(), 2, "{once}");
}
