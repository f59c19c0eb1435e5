#![allow(clippy::unwrap_used)]

use std::fs;

use crate::install::tests::Node;

#[test]
fn a_node_whose_pods_run_is_left_alone_unless_forced() {
    let node = Node::with_config("version = 3\n");
    let before = node.tree();
    node.install.run().unwrap();
    let mut uninstall = node.uninstall();
    uninstall.pods = vec!["default/web".to_owned(), "default/db".to_owned()];
    let installed = node.tree();

    let line = uninstall.run().unwrap_err().to_string();
    assert!(line.contains("2 Pods (default/web, …)"), "{line}");
    assert!(line.contains("drain it first"), "{line}");
    assert_eq!(node.tree(), installed);

    uninstall.force = true;
    uninstall.run().unwrap();
    assert_eq!(node.tree(), before);
}

#[test]
fn a_prefix_that_holds_nothing_is_named() {
    let node = Node::with_config("version = 3\n");
    let line = node.uninstall().run().unwrap_err().to_string();
    assert!(
        line.contains("opt/skete") && line.contains("--prefix"),
        "{line}"
    );
}

#[test]
fn an_installation_that_was_cut_short_is_removed_whatever_it_had_done() {
    // The record is written before each change: take away what comes after.
    for cut in [
        "etc/containerd/conf.d/skete.toml",
        "opt/skete/current",
        "opt/skete/containerd-config.toml.before",
        "etc/containerd/config.toml",
    ] {
        let node = Node::new();
        let before = node.tree();
        node.install.run().unwrap();
        let _ = fs::remove_file(node.install.root.join(cut));

        node.uninstall().run().unwrap();

        assert_eq!(node.tree(), before, "{cut}");
    }
}

#[test]
fn a_record_of_a_later_form_is_not_guessed_at() {
    let node = Node::with_config("version = 3\n");
    node.write("opt/skete/node.json", "{\"schema\": 2}");
    let line = node.uninstall().run().unwrap_err().to_string();
    assert!(line.contains("form 2"), "{line}");
    node.write("opt/skete/node.json", "{");
    let line = node.uninstall().run().unwrap_err().to_string();
    assert!(line.contains("damaged"), "{line}");
}
