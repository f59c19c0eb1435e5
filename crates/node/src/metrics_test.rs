use super::*;
use crate::memory::Part;
use skete_sandbox::description::Description;

#[test]
fn metrics_are_in_families_with_escaped_labels() {
    let pod = Pod {
        id: "abc".to_owned(),
        containerd_namespace: "k8s.io".to_owned(),
        description: Description {
            name: "a\"b\\c\n".to_owned(),
            namespace: "default".to_owned(),
            uid: "u".to_owned(),
            vcpus: 2,
            memory_mib: 512,
            accelerator: "kvm".to_owned(),
        },
        state: State::Running,
        age_seconds: 1,
        cpu_seconds: 1.5,
        memory: [(Part::Guest, 1024), (Part::Shim, 7)].into(),
        problems: vec!["one".to_owned()],
    };
    let status = Status {
        pods: vec![pod],
        problems: vec!["a".to_owned(), "b".to_owned()],
        ..Status::default()
    };

    let text = text(&status);

    let labels = "namespace=\"default\",pod=\"a\\\"b\\\\c\\n\",uid=\"u\",sandbox=\"abc\",accelerator=\"kvm\"";
    for line in [
        "skete_node_problems 2".to_owned(),
        format!("skete_pod_up{{{labels}}} 1"),
        format!("skete_pod_memory_bytes{{{labels},part=\"shim\"}} 7"),
        format!("skete_pod_guest_memory_limit_bytes{{{labels}}} 536870912"),
        format!("skete_pod_cpu_seconds_total{{{labels}}} 1.5"),
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line}\nin\n{text}"
        );
    }
    // Each family's samples stand together, after its type.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let kind = format!("# TYPE {name} ");
        assert_eq!(text.lines().filter(|l| l.starts_with(&kind)).count(), 1);
    }
}
