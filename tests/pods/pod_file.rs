//! `skete run FILE`.

use crate::support::{HELLO, Machine};

fn example(name: &str) -> String {
    format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn the_first_example_says_hello() {
    let machine = Machine::new();
    let ended = machine.skete(&["run", "-q", &example("hello.yaml")]);
    let said = ended.exits(0).out();
    assert!(
        said.starts_with("Hello from a Pod in its own microVM.\nLinux hello "),
        "{said}"
    );
    // Another kernel than this machine's: ours.
    assert!(said.contains("-skete "), "{said}");
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn an_example_gets_its_configuration_its_secrets_and_what_an_init_container_made() {
    let machine = Machine::new();
    let ended = machine.skete(&["run", "-q", &example("config.yaml")]);
    let said = ended.exits(0).out();
    let said: Vec<_> = said.lines().collect();
    let want = [
        "[guest] Good morning from config.",
        "[guest] fresh bread",
        "[guest] fresh olives",
        "[guest] The password has 11 letters, mode 400.",
    ];
    assert_eq!(said, want);
    // What the Secret says is not on record.
    let record = machine.inspect("config").to_string();
    assert!(!record.contains("open sesame"), "{record}");
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn two_containers_share_the_loopback_and_a_directory() {
    let machine = Machine::new();
    let ended = machine.skete(&["run", "-q", &example("two.yaml")]);
    let said = ended.exits(0).out();
    let mut said: Vec<_> = said.lines().collect();
    said.sort_unstable();
    assert_eq!(
        said,
        ["[client] Hello over the loopback.", "[server] Served."]
    );
    let logs = machine.skete(&["logs", "two", "-c", "client"]).exits(0);
    assert_eq!(logs.out(), "Hello over the loopback.\n");
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn init_containers_run_in_order_and_a_failure_ends_the_pod() {
    let machine = Machine::new();
    let container = |name: &str, script: &str| {
        format!(
            "- {{name: {name}, image: \"{HELLO}\", command: [sh, -c, \"{script}\"], volumeMounts: \
             [{{name: notes, mountPath: /notes}}]}}\n"
        )
    };
    let file = [
        "apiVersion: v1\nkind: Pod\nmetadata: {name: order}\nspec:\n  restartPolicy: Never\n",
        "  volumes: [{name: notes, emptyDir: {medium: Memory}}]\n",
        "  initContainers:\n  ",
        &container("first", "echo first >> /notes/all"),
        "  ",
        &container(
            "second",
            "echo second >> /notes/all; cat /notes/all; exit 4",
        ),
        "  containers:\n  ",
        &container("main", "echo never"),
    ]
    .concat();
    let ended = machine.skete_with(&["run", "-q", "-"], file.as_bytes());
    let ended = ended.exits(4);
    assert_eq!(ended.out(), "[second] first\n[second] second\n");
    assert!(
        ended.stderr.contains("init container second"),
        "{}",
        ended.stderr
    );
    let record = machine.inspect("order");
    assert_eq!(record["phase"], "Failed");
    assert_eq!(record["end"]["exitCode"], 4);
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_field_a_type_or_a_unit_that_is_wrong_is_refused_by_its_path() {
    let machine = Machine::new();
    let cases = [
        ("    imag: x", "spec.containers[0].imag"),
        ("    tty: often", "spec.containers[0].tty"),
        (
            "    resources: {limits: {memory: 64MiB}}",
            "spec.containers[0].resources.limits.memory",
        ),
        (
            "    ports: [{containerPort: 70000}]",
            "spec.containers[0].ports[0].containerPort",
        ),
        (
            "    volumeMounts: [{name: none, mountPath: /x}]",
            "spec.containers[0].volumeMounts[0].name",
        ),
        (
            "  volumes: [{name: v, hostPath: {path: /etc}}]",
            "spec.volumes[0].hostPath",
        ),
        ("  hostNetwork: true", "spec.hostNetwork"),
        ("    resources: {limits: {memory: 9000Gi}}", "memory"),
    ];
    for (line, path) in cases {
        let file = machine.file(
            "pod.yaml",
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  containers:\n  - name: a\n    \
                 image: {HELLO}\n{line}\n"
            ),
        );
        machine
            .skete(&["run", "--rm", "-q", &file])
            .refuses(125, &[path]);
    }
    let file = machine.file("pod.yaml", "apiVersion: v1\nkind: [Pod\n");
    machine.skete(&["run", &file]).refuses(125, &["pod.yaml"]);
    let file = machine.file(
        "pod.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n",
    );
    machine.skete(&["run", &file]).refuses(125, &["Service"]);
    assert_eq!(machine.skete(&["ps", "-a", "-q"]).exits(0).out(), "");
}
