#![allow(clippy::unwrap_used)]

use super::*;
use crate::install::tests::Node;

fn look(node: &Node) -> Look {
    let root = &node.install.root;
    Look {
        run_root: root.join("run"),
        state_root: root.join("state"),
        prefix: node.install.prefix.clone(),
        containerd: node.install.containerd.clone(),
    }
}

#[test]
fn what_is_left_of_a_dead_sandbox_is_told_by_its_pods_name() {
    let node = Node::new();
    let look = look(&node);
    let roots = Roots {
        run: look.run_root.clone(),
        state: look.state_root.clone(),
    };
    let layout = Layout::new(&roots, "k8s.io", "abc").unwrap();
    layout.create().unwrap();
    let description = Description {
        name: "web".to_owned(),
        namespace: "default".to_owned(),
        ..Description::default()
    };
    description.write(&layout).unwrap();
    fs::write(layout.cgroup_file(), "skete-no-such-cgroup/abc").unwrap();
    Layout::new(&roots, "skete", "def")
        .unwrap()
        .create()
        .unwrap();

    let pods = look.pods().unwrap();

    let names: Vec<String> = pods.iter().map(Pod::name).collect();
    assert_eq!(names, ["def", "default/web"]);
    assert_eq!(pods[1].state, State::Dead);
    assert!(pods[1].is_containerds() && !pods[0].is_containerds());
    assert!(
        pods[1].problems[0].contains("restart containerd"),
        "{pods:?}"
    );
    assert!(pods[1].memory.is_empty());
}

#[test]
fn an_installation_that_containerd_does_not_serve_is_a_problem() {
    let node = Node::with_config("version = 3\n[grpc]\naddress = '/nonexistent/x.sock'\n");
    let look = look(&node);
    let status = look.status().unwrap();
    assert!(status.installation.is_none());
    assert!(status.problems[0].contains("run `skete node install`"));

    let installed = node.install.run().unwrap();
    let status = look.status().unwrap();
    assert_eq!(status.installation.unwrap().version, installed.version);
    // The configuration is right, and nobody answers.
    let [problem] = status.problems.as_slice() else {
        panic!("{:?}", status.problems);
    };
    assert!(
        problem.contains("/nonexistent/x.sock: start it"),
        "{problem}"
    );

    node.write("etc/containerd/config.toml", "version = 3\n");
    let status = look.status().unwrap();
    assert!(
        status.problems[0].contains("has no runtime skete"),
        "{:?}",
        status.problems
    );
}
