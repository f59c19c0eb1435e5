//! What containers share: limits, volumes, network, the guest itself.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use skete_agent_api::agent::{
    ConfigureSandboxRequest, ContainerRef, Empty, File, Files, Interface, PutVolumeRequest, Route,
    SignalRequest, StatsRequest, UpdateContainerRequest, put_volume_request,
};
use skete_agent_api::{FORWARD_PORT, StdioStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use ttrpc::Code;

use crate::machine::{Machine, PATIENCE, busybox, exec_of, line_of, patient, process, spec};
use crate::status;

fn files(entries: &[(&str, &str)]) -> PutVolumeRequest {
    let entries = entries.iter().map(|(path, content)| File {
        path: (*path).to_owned(),
        mode: 0o100_644,
        content: content.as_bytes().to_vec(),
        ..File::default()
    });
    PutVolumeRequest {
        name: "config".to_owned(),
        source: Some(put_volume_request::Source::Files(Files {
            entries: entries.collect(),
            ..Files::default()
        })),
        ..PutVolumeRequest::default()
    }
}

fn bind(destination: &str, source: &str, options: &[&str]) -> serde_json::Value {
    json!({"destination": destination, "type": "bind", "source": source, "options": options})
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn memory_limits_and_pauses_hold_and_are_counted() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    let mut hungry = spec(&["sh", "-c", "tail /dev/zero"]);
    hungry["linux"]["resources"] = json!({"memory": {"limit": 16_777_216}, "pids": {"limit": 20}});
    machine.create("c1", &layers, &hungry).await.unwrap();
    machine.start("c1", "").await.unwrap();
    let exit = machine.wait("c1", "").await;
    assert!(exit.oom_killed);
    assert_eq!(exit.exit_code, 137);

    machine
        .create("c2", &layers, &spec(&["sh", "-c", "while :; do :; done"]))
        .await
        .unwrap();
    machine.start("c2", "").await.unwrap();
    let used = |machine: &Machine| {
        let agent = machine.agent.clone();
        async move {
            let request = StatsRequest {
                container_ids: vec!["c2".to_owned()],
                ..StatsRequest::default()
            };
            let stats = agent.stats(patient(), &request).await.unwrap();
            assert!(stats.sandbox.memory_limit_bytes > 100 << 20);
            assert!(stats.sandbox.cpu_usage_ns > 0);
            stats.containers["c2"].clone()
        }
    };
    let update = UpdateContainerRequest {
        id: "c2".to_owned(),
        resources: br#"{"memory":{"limit":33554432}}"#.to_vec(),
        ..UpdateContainerRequest::default()
    };
    machine
        .agent
        .update_container(patient(), &update)
        .await
        .unwrap();
    let first = used(&machine).await;
    assert_eq!(first.memory_limit_bytes, 33_554_432);
    assert!(first.memory_bytes > 0 && first.pids >= 1);
    let reference = ContainerRef {
        id: "c2".to_owned(),
        ..ContainerRef::default()
    };
    machine
        .agent
        .pause_container(patient(), &reference)
        .await
        .unwrap();
    let paused = used(&machine).await.cpu_usage_ns;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(used(&machine).await.cpu_usage_ns, paused);
    assert_eq!(
        status(machine.exec("c2", "e1", exec_of(&["true"])).await).1,
        "the container `c2` is paused"
    );
    machine
        .agent
        .resume_container(patient(), &reference)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(used(&machine).await.cpu_usage_ns > paused);
    let all = SignalRequest {
        container_id: "c2".to_owned(),
        signal: 9,
        all: true,
        ..SignalRequest::default()
    };
    machine.agent.signal_process(patient(), &all).await.unwrap();
    assert_eq!(machine.wait("c2", "").await.exit_code, 137);
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn volumes_change_under_a_running_container_and_hold_it_in() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    let put = |machine: &Machine, request: PutVolumeRequest| {
        let agent = machine.agent.clone();
        async move { agent.put_volume(patient(), &request).await }
    };
    put(&machine, files(&[("key", "one"), ("gone", "x")]))
        .await
        .unwrap();
    for (name, source) in [
        (
            "scratch",
            put_volume_request::Source::Scratch(Empty::default()),
        ),
        (
            "memory",
            put_volume_request::Source::Tmpfs(Default::default()),
        ),
    ] {
        let request = PutVolumeRequest {
            name: name.to_owned(),
            source: Some(source),
            size_limit: 1 << 20,
            ..PutVolumeRequest::default()
        };
        put(&machine, request.clone()).await.unwrap();
        assert!(put(&machine, request).await.is_err());
    }
    let mut wanted = spec(&[
        "sh",
        "-c",
        "cat /config/key; ln -s / /data/out; touch /data/file; while grep -q one /config/key; do sleep 0.1; done; cat /config/key; sleep 1000",
    ]);
    let mounts = wanted["mounts"].as_array_mut().unwrap();
    mounts.push(bind(
        "/config",
        "/run/skete/volumes/config",
        &["rbind", "ro"],
    ));
    mounts.push(bind("/data", "/run/skete/volumes/scratch", &["rbind"]));
    mounts.push(bind("/memory", "/run/skete/volumes/memory", &["rbind"]));
    machine.create("c1", &layers, &wanted).await.unwrap();
    let mut stdout = machine.stream("c1", "", StdioStream::Stdout).await;
    machine.start("c1", "").await.unwrap();
    let mut three = [0; 3];
    stdout.read_exact(&mut three).await.unwrap();
    assert_eq!(&three, b"one");
    put(&machine, files(&[("key", "two"), ("new", "y")]))
        .await
        .unwrap();
    stdout.read_exact(&mut three).await.unwrap();
    assert_eq!(&three, b"two");
    let script = "cat /config/key; ls /config; touch /config/x; dd if=/dev/zero of=/memory/f bs=1M count=2 2>/dev/null || echo full";
    let (output, _) = machine
        .exec("c1", "e1", exec_of(&["sh", "-c", script]))
        .await
        .unwrap();
    assert_eq!(
        output,
        "twokey\nnew\nfull\ntouch: /config/x: Read-only file system\n"
    );

    // A part of a volume: a link that a container has made does not lead out of it.
    let mut part = spec(&["ls", "/part"]);
    let mounts = part["mounts"].as_array_mut().unwrap();
    mounts.push(bind("/part", "/run/skete/volumes/scratch/out", &["rbind"]));
    let (output, _) = {
        machine.create("c2", &layers, &part).await.unwrap();
        machine.output("c2", "").await.unwrap()
    };
    assert_eq!(output, "file\nout\n");
    let mut part = spec(&["sh", "-c", "ls -ld /part; cat /key"]);
    let mounts = part["mounts"].as_array_mut().unwrap();
    mounts.push(bind("/part", "/run/skete/volumes/scratch/a/b", &["rbind"]));
    mounts.push(bind(
        "/key",
        "/run/skete/volumes/config/key",
        &["rbind", "ro"],
    ));
    machine.create("c3", &layers, &part).await.unwrap();
    let (output, _) = machine.output("c3", "").await.unwrap();
    assert!(
        output.starts_with("drwxrwxrwx") && output.ends_with("two"),
        "{output}"
    );
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn containers_of_a_pod_can_share_processes_but_not_with_the_agent() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    let mut wanted = spec(&["sleep", "1000"]);
    wanted["linux"]["namespaces"] =
        json!([{"type": "mount"}, {"type": "pid", "path": "/proc/7/ns/pid"}]);
    machine.create("c1", &layers, &wanted).await.unwrap();
    machine.start("c1", "").await.unwrap();
    wanted["process"]["args"] = json!([
        "sh",
        "-c",
        "ps -o user,args; ls /proc/1/root/ || true; cat /proc/1/environ | wc -c"
    ]);
    machine.create("c2", &layers, &wanted).await.unwrap();
    let (output, _) = machine.output("c2", "").await.unwrap();
    assert!(output.contains("sleep 1000"), "{output}");
    assert!(output.contains("65535"), "{output}");
    assert!(output.contains("Permission denied"), "{output}");
    assert!(!output.contains("init"), "{output}");
    // The end of the first process of a container is the end of all of it.
    let script = "sleep 999 & exec sleep 0.1";
    wanted["process"]["args"] = json!(["sh", "-c", script]);
    machine.create("c3", &layers, &wanted).await.unwrap();
    let (_, code) = machine.output("c3", "").await.unwrap();
    assert_eq!(code, 0);
    let (output, _) = machine
        .exec("c1", "e1", exec_of(&["ps", "-o", "args"]))
        .await
        .unwrap();
    assert!(!output.contains("sleep 999"), "{output}");
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn the_forward_port_reaches_servers_in_the_guest() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    let serve = ["nc", "-ll", "-p", "8080", "-e", "cat"];
    machine.create("c1", &layers, &spec(&serve)).await.unwrap();
    machine.start("c1", "").await.unwrap();
    let start = std::time::Instant::now();
    let mut stream = loop {
        let mut stream = machine.connect(FORWARD_PORT).await;
        stream.write_all(b"tcp 127.0.0.1:8080\n").await.unwrap();
        let answer = line_of(&mut stream).await.unwrap();
        if answer == "OK" {
            break stream;
        }
        assert!(answer.contains("Connection refused"), "{answer}");
        assert!(start.elapsed() < PATIENCE, "{answer}");
    };
    stream.write_all(b"there and back").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut back = String::new();
    stream.read_to_string(&mut back).await.unwrap();
    assert_eq!(back, "there and back");
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_container_that_floods_or_dies_does_not_hold_up_the_agent() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    // Full pipes that nobody reads, a fork bomb within its limit, a dead standard input.
    let mut bomb = spec(&["sh", "-c", "yes & yes >&2 & while :; do sleep 100 & done"]);
    bomb["linux"]["resources"] = json!({"pids": {"limit": 100}, "memory": {"limit": 50_000_000}});
    machine.create("c1", &layers, &bomb).await.unwrap();
    let _stdout = machine.stream("c1", "", StdioStream::Stdout).await;
    let _stderr = machine.stream("c1", "", StdioStream::Stderr).await;
    machine.start("c1", "").await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (output, _) = machine
        .run("c2", &layers, &["echo", "alive"])
        .await
        .unwrap();
    assert_eq!(output, "alive\n");
    let kill = SignalRequest {
        container_id: "c1".to_owned(),
        signal: 9,
        all: true,
        ..SignalRequest::default()
    };
    machine
        .agent
        .signal_process(patient(), &kill)
        .await
        .unwrap();
    machine.wait("c1", "").await;
    machine
        .agent
        .delete_process(patient(), &process("c1", ""))
        .await
        .unwrap();
    machine.power_off().await;
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_sandbox_gets_its_network_its_parameters_and_its_scratch_disk() {
    let mut machine = Machine::boot(256).await;
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    let scratch = machine.dir.path().join("scratch");
    let file = fs::File::create(&scratch).unwrap();
    file.set_len(64 << 20).unwrap();
    let made = Command::new("mkfs.ext4").arg("-q").arg(&scratch).status();
    assert!(made.unwrap().success());
    machine.plug(&scratch, "scratch", false);
    let mut request = ConfigureSandboxRequest {
        hostname: "pod".to_owned(),
        scratch_serial: "scratch".to_owned(),
        resolv_conf: b"nameserver 10.0.2.3\n".to_vec(),
        interfaces: vec![Interface {
            mac: "52:54:00:12:34:57".to_owned(),
            name: "eth7".to_owned(),
            mtu: 1400,
            addresses: vec!["10.0.2.15/24".to_owned(), "fd00::15/64".to_owned()],
            ..Interface::default()
        }],
        routes: [
            ("0.0.0.0/0", "10.0.2.2"),
            ("10.9.0.0/16", ""),
            ("::/0", "fd01::1"),
        ]
        .map(|(destination, gateway)| Route {
            destination: destination.to_owned(),
            gateway: gateway.to_owned(),
            interface: "eth7".to_owned(),
            ..Route::default()
        })
        .to_vec(),
        ..ConfigureSandboxRequest::default()
    };
    request.sysctls.insert(
        "net.ipv4.ip_unprivileged_port_start".to_owned(),
        "0".to_owned(),
    );
    let wrong = machine.agent.configure_sandbox(patient(), &request).await;
    assert_eq!(
        status(wrong.map(|_| (String::new(), 0))),
        (
            Code::NOT_FOUND,
            "no network interface has the address 52:54:00:12:34:57".to_owned()
        )
    );
    request.interfaces[0].mac = "52:54:00:12:34:56".to_owned();
    machine
        .agent
        .configure_sandbox(patient(), &request)
        .await
        .unwrap();
    let script = "ip addr show eth7; ip route; ip -6 route; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; \
                  cat /etc/resolv.conf; dd if=/dev/zero of=/big bs=1M count=80 2>&1 | grep -o 'No space'; \
                  mknod /disk b 254 0 && head -c 1 /disk";
    let mut wanted = spec(&["sh", "-c", script]);
    let mounts = wanted["mounts"].as_array_mut().unwrap();
    mounts.push(bind(
        "/etc/resolv.conf",
        "/run/skete/etc/resolv.conf",
        &["bind", "ro"],
    ));
    machine.create("c1", &layers, &wanted).await.unwrap();
    let (output, _) = machine.output("c1", "").await.unwrap();
    for part in [
        "mtu 1400",
        "inet 10.0.2.15/24",
        "inet6 fd00::15/64",
        "default via 10.0.2.2 dev eth7",
        "10.9.0.0/16 dev eth7",
        "default via fd01::1 dev eth7",
        "\n0\n",
        "nameserver 10.0.2.3",
        "No space",
        // It can make a node of a disk, and not open it.
        "Operation not permitted",
    ] {
        assert!(output.contains(part), "{part}: {output}");
    }
    machine.power_off().await;
    // It was unmounted, not just left: nothing has to be replayed.
    let check = Command::new("e2fsck")
        .arg("-fn")
        .arg(&scratch)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.status.success(), "{text}");
}
