use super::*;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn capabilities_are_added_and_dropped_as_containerd_does() {
    let of = |add: &[&str], drop: &[&str]| capabilities(&names(add), &names(drop));
    assert_eq!(of(&[], &[]), DEFAULT);
    assert_eq!(of(&[], &["ALL"]), Vec::<&str>::new());
    assert_eq!(of(&["ALL"], &[]), ALL);
    assert_eq!(of(&["net_admin"], &["all"]), ["CAP_NET_ADMIN"]);
    assert_eq!(
        of(&["CAP_NET_ADMIN", "NET_ADMIN"], &["ALL"]),
        ["CAP_NET_ADMIN"]
    );
    assert_eq!(of(&["ALL"], &["SYS_ADMIN"]).len(), ALL.len() - 1);
    assert_eq!(of(&["NET_RAW"], &["NET_RAW"]).len(), DEFAULT.len() - 1);
}

#[test]
fn the_containers_context_has_precedence_over_the_pods() {
    let spec: PodSpec = serde_json::from_value(serde_json::json!({
        "securityContext": {
            "runAsUser": 1, "runAsGroup": 2, "runAsNonRoot": true, "fsGroup": 9,
            "supplementalGroups": [8, 9, 7], "seccompProfile": { "type": "Unconfined" },
        },
        "containers": [
            { "name": "a" },
            { "name": "b", "securityContext": {
                "runAsUser": 3, "runAsNonRoot": false, "allowPrivilegeEscalation": false,
                "seccompProfile": { "type": "RuntimeDefault" },
            } },
            { "name": "c", "securityContext": { "privileged": true } },
        ],
    }))
    .unwrap();
    let of = |index: usize| Security::of(&spec, &spec.containers[index]);
    let (a, b, c) = (of(0), of(1), of(2));
    assert_eq!((a.user, a.group, a.non_root), (Some(1), Some(2), true));
    assert_eq!((b.user, b.group, b.non_root), (Some(3), Some(2), false));
    assert_eq!(a.groups, [7, 8, 9]);
    assert_eq!(
        (a.seccomp, b.seccomp),
        (Seccomp::Unconfined, Seccomp::RuntimeDefault)
    );
    assert_eq!((a.no_new_privileges, b.no_new_privileges), (false, true));
    assert_eq!(
        (c.capabilities.len(), c.seccomp),
        (ALL.len(), Seccomp::Unconfined)
    );
}

#[test]
fn seccomp_is_on_unless_it_is_turned_off() {
    let spec = PodSpec::default();
    let security = Security::of(&spec, &Container::default());
    assert_eq!(security.seccomp, Seccomp::RuntimeDefault);
}
