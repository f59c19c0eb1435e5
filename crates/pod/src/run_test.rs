use super::*;

fn run(options: &RunOptions) -> Result<PodSpec, String> {
    let environment = |name: &str| (name == "HOME").then(|| "/root".to_owned());
    let manifest = options.manifest(environment);
    manifest
        .map(|m| m.pod.spec.unwrap())
        .map_err(|e| e.to_string())
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

fn busybox() -> RunOptions {
    RunOptions {
        image: "busybox".to_owned(),
        ..Default::default()
    }
}

#[test]
fn flags_become_a_pod_of_one_container() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("env");
    std::fs::write(&file, "# comment\nA=from file\nB=$(A) 5$\n").unwrap();
    let options = RunOptions {
        image: "example.org/Team/Web_App:1".to_owned(),
        command: words(&["serve", "$(A)", "$$"]),
        entrypoint: Some("/start".to_owned()),
        name: Some("web".to_owned()),
        env: words(&["A=1", "HOME", "ABSENT"]),
        env_file: vec![file],
        user: Some("app:1000".to_owned()),
        publish: words(&["127.0.0.1:8080:80", "53:53/udp"]),
        memory: Some("96m".to_owned()),
        cpus: Some("1.5".to_owned()),
        tmpfs: words(&["/tmp:size=8m"]),
        volume: words(&["/data"]),
        read_only: true,
        cap_drop: words(&["ALL"]),
        tty: true,
        interactive: true,
        network: Some("none".to_owned()),
        add_host: words(&["db:192.0.2.7"]),
        dns: words(&["192.0.2.53"]),
        sysctl: words(&["net.core.somaxconn=1024"]),
        restart: Some("on-failure".to_owned()),
        stop_timeout: Some(3),
        ..Default::default()
    };
    let manifest = options.manifest(|name| (name == "HOME").then(|| "/root".to_owned()));
    let manifest = manifest.unwrap();
    assert_eq!(manifest.pod.metadata.name.as_deref(), Some("web"));
    let annotations = manifest.pod.metadata.annotations.clone().unwrap();
    assert_eq!(annotations["io.skete.user/web-app"], "app:1000");
    assert_eq!(annotations["io.skete.network"], "none");
    let spec = manifest.pod.spec.unwrap();
    assert_eq!(spec.restart_policy.as_deref(), Some("OnFailure"));
    assert_eq!(spec.termination_grace_period_seconds, Some(3));
    assert_eq!(spec.dns_policy.as_deref(), Some("None"));
    let container = &spec.containers[0];
    assert_eq!(container.name, "web-app");
    assert_eq!(container.image_pull_policy.as_deref(), Some("IfNotPresent"));
    assert_eq!(container.command, Some(words(&["/start"])));
    assert_eq!(container.args, Some(words(&["serve", "$$(A)", "$$$$"])));
    let env = container.env.iter().flatten();
    let env: Vec<_> = env
        .map(|e| (e.name.as_str(), e.value.as_deref().unwrap()))
        .collect();
    assert_eq!(env, [("B", "$$(A) 5$$"), ("A", "1"), ("HOME", "/root")]);
    let limits = container.resources.clone().unwrap().limits.unwrap();
    assert_eq!(
        (limits["memory"].0.as_str(), limits["cpu"].0.as_str()),
        ("96Mi", "1500m")
    );
    let ports = container.ports.clone().unwrap();
    assert_eq!(ports[0].host_ip.as_deref(), Some("127.0.0.1"));
    assert_eq!(
        (ports[1].host_port, ports[1].protocol.as_deref()),
        (Some(53), Some("UDP"))
    );
    let volumes = spec.volumes.unwrap();
    let tmpfs = volumes[1].empty_dir.clone().unwrap();
    assert_eq!(tmpfs.medium.as_deref(), Some("Memory"));
    assert_eq!(tmpfs.size_limit.unwrap().0, "8Mi");
}

#[test]
fn what_is_left_out_is_left_to_the_image() {
    let spec = run(&busybox()).unwrap();
    let container = &spec.containers[0];
    assert_eq!(container.command, None);
    assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
    assert_eq!(
        container.security_context.clone().unwrap().run_as_user,
        None
    );
}

#[test]
fn an_entrypoint_is_a_word_a_list_or_nothing() {
    let with = |entrypoint: &str| {
        let options = RunOptions {
            entrypoint: Some(entrypoint.to_owned()),
            command: words(&["a", "b"]),
            ..busybox()
        };
        let container = run(&options).unwrap().containers.remove(0);
        (
            container.command.unwrap(),
            container.args.unwrap_or_default(),
        )
    };
    assert_eq!(with("x y"), (words(&["x y"]), words(&["a", "b"])));
    assert_eq!(
        with(r#"["x", "y"]"#),
        (words(&["x", "y"]), words(&["a", "b"]))
    );
    assert_eq!(with(""), (words(&["a", "b"]), words(&[])));
}

#[test]
fn names_are_made_of_the_image() {
    let manifest = busybox().manifest(|_| None).unwrap();
    let name = manifest.pod.metadata.name.unwrap();
    assert!(name.starts_with("busybox-") && name.len() == 13, "{name}");
    let table = [
        ("busybox", "busybox"),
        ("localhost:5000/a/B_c:1.2@sha256:00", "b-c"),
        ("---", "main"),
        ("", "main"),
        ("registry/.hidden", "hidden"),
    ];
    for (image, base) in table {
        assert_eq!(flags::base_name(image), base, "{image}");
    }
}

#[test]
fn a_wrong_flag_is_named_with_its_value() {
    type Change = fn(&mut RunOptions);
    let table: [(Change, &str); 14] = [
        (
            |o| o.name = Some("My Pod".into()),
            "--name \"My Pod\": \"My Pod\" is not a DNS label",
        ),
        (
            |o| o.memory = Some("64Mo".into()),
            "--memory \"64Mo\": is not a size; write 512m, 1.5g or 512Mi",
        ),
        (
            |o| o.cpus = Some("two".into()),
            "--cpus \"two\": is not a number of CPUs",
        ),
        (
            |o| o.cpus = Some("0".into()),
            "--cpus \"0\": is not a number of CPUs",
        ),
        (
            |o| o.publish = words(&["80"]),
            "--publish \"80\": the host's port is missing; write 80:80",
        ),
        (
            |o| o.volume = words(&["/etc:/etc"]),
            "--volume \"/etc:/etc\": refused: nothing of the host",
        ),
        (
            |o| o.network = Some("host".into()),
            "--network \"host\": refused: nothing of the host",
        ),
        (
            |o| o.restart = Some("on-failure:3".into()),
            "--restart \"on-failure:3\": a bound on",
        ),
        (
            |o| o.env = words(&["=x"]),
            "--env \"=x\": \"\" is not a name",
        ),
        (
            |o| o.cap_add = words(&["FLY"]),
            "--cap-add \"FLY\": \"FLY\" is not a capability",
        ),
        (
            |o| o.entrypoint = Some("[x".into()),
            "--entrypoint \"[x\": is not a list of words in JSON",
        ),
        (
            |o| o.image = String::new(),
            "run: spec.containers[0].image: must not be empty",
        ),
        (
            |o| o.env_file = vec!["/nowhere/env".into()],
            "--env-file /nowhere/env: cannot be read",
        ),
        (
            |o| o.label = words(&["a b=c"]),
            "--label \"a b=c\": \"a b\" is not a key",
        ),
    ];
    for (change, message) in table {
        let mut options = busybox();
        change(&mut options);
        let error = run(&options).unwrap_err();
        assert!(error.starts_with(message), "{error}\nexpected {message}");
        assert!(!error.contains('\n'), "{error}");
    }
}
