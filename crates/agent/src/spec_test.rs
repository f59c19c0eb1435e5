use super::*;

fn json(namespaces: &str) -> String {
    format!(
        r#"{{"ociVersion":"1.2.0","root":{{"path":"x","readonly":true}},
            "hooks":{{"prestart":[{{"path":"/bin/x"}}]}},
            "process":{{"cwd":"/","args":["sh"],"user":{{"uid":0,"gid":0}},
                "noNewPrivileges":false,"apparmorProfile":"p"}},
            "linux":{{"cgroupsPath":"/kubepods/x","namespaces":{namespaces}}}}}"#
    )
}

fn spec(namespaces: &str) -> Spec {
    parse(&json(namespaces)).unwrap()
}

fn kinds(spec: &Spec) -> Vec<(LinuxNamespaceType, Option<PathBuf>)> {
    let linux = spec.linux().as_ref().unwrap();
    let list = linux.namespaces().as_ref().unwrap();
    list.iter()
        .map(|namespace| (namespace.typ(), namespace.path().clone()))
        .collect()
}

#[test]
fn what_belongs_to_the_host_is_dropped() {
    let mut spec = spec(r#"[{"type":"pid"},{"type":"mount"}]"#);
    adapt(&mut spec, "c1", Path::new("/run/root"), true, None).unwrap();
    assert!(spec.hooks().is_none());
    let root = spec.root().as_ref().unwrap();
    assert_eq!(root.path(), Path::new("/run/root"));
    assert_eq!(root.readonly(), Some(true));
    let process = spec.process().as_ref().unwrap();
    assert!(process.apparmor_profile().is_none());
    assert_eq!(process.no_new_privileges(), None);
    assert_eq!(process.terminal(), Some(true));
    let linux = spec.linux().as_ref().unwrap();
    assert_eq!(
        linux.cgroups_path().as_deref(),
        Some(Path::new("/skete/c1"))
    );
}

#[test]
fn namespaces_with_a_path_are_the_guests_own() {
    let mut spec = spec(
        r#"[{"type":"network","path":"/run/netns/x"},{"type":"ipc","path":"/proc/9/ns/ipc"},
            {"type":"uts"},{"type":"pid"},{"type":"mount"}]"#,
    );
    adapt(&mut spec, "c1", Path::new("/r"), false, None).unwrap();
    assert_eq!(
        kinds(&spec),
        [
            (LinuxNamespaceType::Pid, None),
            (LinuxNamespaceType::Mount, None),
            (LinuxNamespaceType::Cgroup, None),
            (LinuxNamespaceType::Uts, None)
        ]
    );
}

#[test]
fn a_container_without_a_pid_namespace_shares_the_pods_and_never_the_agents() {
    let text = json(r#"[{"type":"pid","path":"/proc/9/ns/pid"}]"#);
    assert!(shares_pids(text.as_bytes()).unwrap());
    let mut spec = parse(&text).unwrap();
    let shared = PathBuf::from("/proc/42/ns/pid");
    adapt(
        &mut spec,
        "c1",
        Path::new("/r"),
        false,
        Some(shared.clone()),
    )
    .unwrap();
    assert_eq!(kinds(&spec)[0], (LinuxNamespaceType::Pid, Some(shared)));
    assert!(!shares_pids(json(r#"[{"type":"pid"}]"#).as_bytes()).unwrap());
    assert!(shares_pids(b"{}").unwrap());
}

#[test]
fn a_specification_without_a_process_is_refused() {
    let mut spec = parse(r#"{"ociVersion":"1.2.0","linux":{}}"#).unwrap();
    spec.set_process(None);
    let error = adapt(&mut spec, "c1", Path::new("/r"), false, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the container's specification has no `process`"
    );
}
