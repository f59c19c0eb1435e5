use super::*;

fn of(name: &str, labels: &[(&str, &str)]) -> Option<String> {
    let labels = labels.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    let found = Controller::of_labels(name, &labels.collect());
    found.map(|controller| format!("{}/{}", controller.kind, controller.name))
}

#[test]
fn kubernetes_controllers_are_known_by_the_labels_that_they_write() {
    let cases = [
        (
            "web-6c5-x7f2k",
            ("pod-template-hash", "6c5"),
            "ReplicaSet/web-6c5",
        ),
        (
            "n-1-abcde",
            ("batch.kubernetes.io/job-name", "n-1"),
            "Job/n-1",
        ),
        (
            "db-0",
            ("statefulset.kubernetes.io/pod-name", "db-0"),
            "StatefulSet/db",
        ),
        (
            "log-8xk2p",
            ("pod-template-generation", "3"),
            "DaemonSet/log",
        ),
    ];
    for (name, label, controller) in cases {
        assert_eq!(of(name, &[label]).as_deref(), Some(controller));
    }
}

#[test]
fn a_label_that_does_not_fit_the_name_is_not_believed() {
    assert_eq!(of("mine", &[("app", "web")]), None);
    assert_eq!(of("mine-abcde", &[("pod-template-hash", "6c5")]), None);
    assert_eq!(
        of(
            "mine-x",
            &[("statefulset.kubernetes.io/pod-name", "mine-x")]
        ),
        None
    );
}
