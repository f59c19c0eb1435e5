use super::*;

#[test]
fn the_options_before_the_command_say_which_cluster_is_meant() {
    let (cluster, rest) =
        parse(&["--dir", "/tmp/d", "--name", "n2", "kubectl", "--name", "x"]).expect("parsed");
    assert_eq!(cluster.node(), "skete-n2");
    assert_eq!(cluster.dir(), Path::new("/tmp/d"));
    assert_eq!(rest, ["kubectl", "--name", "x"]);
}

#[test]
fn a_name_that_could_leave_its_directory_or_is_too_long_for_sockets_is_refused() {
    for name in ["", "..", "a/b", "A", "ninechars"] {
        assert!(Cluster::new(name, None).is_err(), "{name}");
    }
    assert!(Cluster::new("n", Some("/a b")).is_err());
    assert!(Cluster::new("n", Some(&"/long".repeat(13))).is_err());
}
