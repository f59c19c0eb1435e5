use super::*;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    flags: Flags,
}

fn flags(line: &str) -> Flags {
    let words = std::iter::once("x").chain(line.split_whitespace());
    Line::try_parse_from(words).unwrap().flags
}

fn pod(line: &str, command: &[&str]) -> Result<Pod, Failure> {
    let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
    flags(line).pod(&What {
        name: "name",
        image: "image",
        command: &command,
        tty: false,
        stdin: false,
        pull_policy: "Never",
    })
}

/// The Pod that the flags make, which must be one that is honoured.
fn spec(line: &str, command: &[&str]) -> PodSpec {
    let pod = pod(line, command).unwrap();
    skete_pod::Manifest::new(&pod, "the command line").unwrap();
    pod.spec.unwrap()
}

#[test]
fn a_command_takes_the_place_of_the_images_and_is_not_expanded() {
    let spec = spec("-e PRICE=$(5)", &["echo", "$(HOME)", "$$"]);
    let container = &spec.containers[0];
    assert_eq!(container.command, None);
    assert_eq!(
        container.args.as_ref().unwrap(),
        &["echo", "$$(HOME)", "$$$$"]
    );
    let env = container.env.as_ref().unwrap();
    assert_eq!(env[0].value.as_deref(), Some("$$(5)"));
}

#[test]
fn a_later_variable_takes_the_place_of_an_earlier_one() {
    let spec = spec("-e A=1 -e B=2 -e A=3 -e NOT_THERE_AT_ALL", &[]);
    let env = spec.containers[0].env.clone().unwrap();
    let shown: Vec<_> = env
        .iter()
        .map(|v| (v.name.as_str(), v.value.as_deref()))
        .collect();
    assert_eq!(shown, [("B", Some("2")), ("A", Some("3"))]);
}

#[test]
fn sizes_are_dockers_or_kubernetes() {
    for (text, wanted) in [
        ("512m", "536870912"),
        ("2G", "2147483648"),
        ("1.5k", "1536"),
        ("100", "100"),
        ("512Mi", "512Mi"),
    ] {
        assert_eq!(size("-m", text).unwrap().0, wanted, "{text}");
    }
    for wrong in ["", "m", "-1m", "1x", "nan", "1e400g"] {
        assert!(size("-m", wrong).is_err(), "{wrong}");
    }
}

#[test]
fn ports_are_published_as_docker_does() {
    let shown = |text: &str| -> Vec<_> {
        publish(text)
            .unwrap()
            .into_iter()
            .map(|p| {
                (
                    p.host_ip,
                    p.host_port.unwrap(),
                    p.container_port,
                    p.protocol.unwrap(),
                )
            })
            .collect()
    };
    assert_eq!(shown("8080:80"), [(None, 8080, 80, "TCP".into())]);
    assert_eq!(
        shown("127.0.0.1:53:53/udp"),
        [(Some("127.0.0.1".into()), 53, 53, "UDP".into())]
    );
    assert_eq!(
        shown("[::1]:8080:80"),
        [(Some("::1".into()), 8080, 80, "TCP".into())]
    );
    assert_eq!(
        shown("8000-8001:80-81"),
        [
            (None, 8000, 80, "TCP".into()),
            (None, 8001, 81, "TCP".into())
        ]
    );
    let free = shown("80");
    assert!(free[0].1 > 0);
    for wrong in [
        "",
        "0",
        "70000",
        "x:80",
        "1-2:80",
        "2-1:2-1",
        "80/icmp",
        "1.2.3:80:80",
    ] {
        assert!(publish(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_user_by_name_is_looked_up_in_the_guest() {
    let numbers = pod("-u 1000:50", &[]).unwrap();
    let context = numbers.spec.unwrap().containers[0]
        .security_context
        .clone()
        .unwrap();
    assert_eq!(
        (context.run_as_user, context.run_as_group),
        (Some(1000), Some(50))
    );

    let name = pod("-u www-data", &[]).unwrap();
    let annotations = name.metadata.annotations.unwrap();
    assert_eq!(annotations["io.skete.user/name"], "www-data");
}

#[test]
fn directories_of_the_host_are_refused_with_what_to_use() {
    let failure = pod("-v /etc:/etc", &[]).unwrap_err();
    assert!(
        failure.message().unwrap().contains("--tmpfs"),
        "{failure:?}"
    );
}

#[test]
fn every_flag_makes_a_pod_that_is_honoured() {
    let spec = spec(
        "--memory 128m --cpus 0.5 --ephemeral-storage 1g -l a=b --annotation c=d --read-only \
         --tmpfs /scratch:size=16m --shm-size 8m --cap-add NET_ADMIN --cap-drop CAP_MKNOD \
         --security-opt no-new-privileges --network none --dns 10.0.0.1 --dns-search x.example \
         --dns-option ndots:2 --add-host db:10.0.0.2 --sysctl net.core.somaxconn=100 \
         --restart on-failure --stop-timeout 3 --timeout 60 -w /tmp -H host --group-add 5 \
         -p 8080:80 --entrypoint /bin/sh",
        &["-c", "true"],
    );
    assert_eq!(spec.restart_policy.as_deref(), Some("OnFailure"));
    assert_eq!(spec.termination_grace_period_seconds, Some(3));
    assert_eq!(spec.volumes.as_ref().unwrap().len(), 2);
    let container = &spec.containers[0];
    assert_eq!(container.command.as_ref().unwrap(), &["/bin/sh"]);
    let limits = container
        .resources
        .as_ref()
        .unwrap()
        .limits
        .as_ref()
        .unwrap();
    assert_eq!(limits["memory"].0, "134217728");
}

#[test]
fn a_flag_that_was_given_is_named() {
    assert_eq!(flags("").given(), None);
    assert_eq!(flags("--read-only").given(), Some("--read-only"));
}
