//! The agent in a guest. Each test boots its own; `SKETE_TEST_KERNEL`, `SKETE_TEST_AGENT` (the
//! static program) and `SKETE_TEST_VSOCK` name what they are made of.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod machine;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;
use std::time::Duration;

use machine::{Machine, PATIENCE, busybox, exec_of, line_of, patient, process, spec};
use serde_json::json;
use skete_agent_api::agent::{
    ConfigureSandboxRequest, ContainerRef, Empty, File, Files, Interface, PutVolumeRequest,
    ResizeRequest, Route, SignalRequest, StatsRequest, UpdateContainerRequest, put_volume_request,
};
use skete_agent_api::{FORWARD_PORT, STDIO_PORT, StdioStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use ttrpc::{Code, Error};

fn status(result: ttrpc::Result<(String, u32)>) -> (Code, String) {
    match result.expect_err("it should have failed") {
        Error::RpcStatus(status) => (status.code(), status.message().to_owned()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_container_runs_and_its_exit_code_and_output_come_back() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    let script = "echo out; echo err >&2; hostname; id -u; date +%Y; exit 7";
    let (output, code) = machine
        .run("c1", &layers, &["sh", "-c", script])
        .await
        .unwrap();
    assert_eq!((output.as_str(), code), ("out\nc\n0\n2030\nerr\n", 7));
    let reference = process("c1", "");
    machine
        .agent
        .delete_process(patient(), &reference)
        .await
        .unwrap();
    // The id is free again, and of the first root nothing is left.
    let script = "echo again; touch /new; ls /; cat /proc/mounts | wc -l";
    let (output, code) = machine
        .run("c1", &layers, &["sh", "-c", script])
        .await
        .unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(
        lines[..9],
        [
            "again", "bin", "dev", "etc", "new", "proc", "sys", "tmp", lines[8]
        ]
    );
    assert_eq!(code, 0);
    // A signal that ended it is told as shells do.
    let (_, code) = machine
        .run("c2", &layers, &["sh", "-c", "kill -9 $$"])
        .await
        .unwrap();
    // The first process of a namespace cannot kill itself.
    assert_eq!(code, 0);
    let stats = machine
        .agent
        .stats(patient(), &StatsRequest::default())
        .await
        .unwrap();
    eprintln!(
        "listening after {} ms, the agent has {} KiB",
        machine.hello.uptime_ns / 1_000_000,
        stats.agent_memory_bytes >> 10
    );
    assert!(stats.agent_memory_bytes < 6 << 20);
    machine.power_off().await;
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_command_that_cannot_run_is_told_in_one_clear_line() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let root = busybox(image.path());
    let put = |name: &str, content: &[u8], mode| {
        fs::write(root.join(name), content).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let mut arm = b"\x7fELF\x02\x01\x01".to_vec();
    arm.resize(64, 0);
    arm[18] = 183;
    put("bin/arm", &arm, 0o755);
    put("bin/data", b"#!/bin/sh\n", 0o644);
    put("bin/text", b"hello\n", 0o755);
    put("bin/lost", b"#!/bin/nothing\n", 0o755);
    let layers = [root.clone()];
    let cases = [
        (
            "none",
            Code::NOT_FOUND,
            "executable `none` not found in the image's PATH",
        ),
        (
            "/bin/none",
            Code::NOT_FOUND,
            "executable `/bin/none` not found in the image",
        ),
        ("data", Code::PERMISSION_DENIED, "`data` is not executable"),
        ("/etc", Code::PERMISSION_DENIED, "`/etc` is not executable"),
        (
            "arm",
            Code::FAILED_PRECONDITION,
            "cannot run `arm`: exec format error: built for another architecture",
        ),
        (
            "text",
            Code::FAILED_PRECONDITION,
            "cannot run `text`: exec format error: neither a program nor a script",
        ),
        (
            "lost",
            Code::NOT_FOUND,
            "cannot run `lost`: the interpreter it names is not in the image",
        ),
    ];
    for (command, code, message) in &cases {
        let failed = status(machine.run("c1", &layers, &[command]).await);
        assert_eq!(failed, (*code, (*message).to_owned()));
        // What is known only when it is started leaves a container that has ended.
        let _ = machine
            .agent
            .delete_process(patient(), &process("c1", ""))
            .await;
    }
    machine
        .create("c2", &layers, &spec(&["sleep", "1000"]))
        .await
        .unwrap();
    machine.start("c2", "").await.unwrap();
    for (index, (command, code, message)) in cases.iter().enumerate() {
        let exec = format!("e{index}");
        let failed = status(machine.exec("c2", &exec, exec_of(&[command])).await);
        assert_eq!(failed, (*code, (*message).to_owned()));
        let expected = if *code == Code::NOT_FOUND { 127 } else { 126 };
        assert_eq!(machine.wait("c2", &exec).await.exit_code, expected);
        machine
            .agent
            .delete_process(patient(), &process("c2", &exec))
            .await
            .unwrap();
    }
    let mut by_name = spec(&["id"]);
    by_name["process"]["user"]["username"] = json!("somebody");
    let failed = machine.create("c3", &layers, &by_name).await;
    assert_eq!(
        status(failed.map(|()| (String::new(), 0))).1,
        "user `somebody` not found in the image's /etc/passwd"
    );
    let missing = machine
        .agent
        .wait_process(patient(), &process("nobody", ""))
        .await;
    assert_eq!(
        status(missing.map(|_| (String::new(), 0))).1,
        "no container `nobody`"
    );
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_further_process_is_in_the_container_as_its_first_one() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    let mut first = spec(&["sleep", "1000"]);
    first["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]
    });
    machine.create("c1", &layers, &first).await.unwrap();
    machine.start("c1", "").await.unwrap();
    let mut wanted = exec_of(&[
        "sh",
        "-c",
        "id; pwd; echo $HOME $X; hostname; mkdir /tmp/x; grep -E 'Cap(Eff|Bnd)|Seccomp:|NoNewPrivs' /proc/self/status; cat /proc/1/comm; cat /proc/self/cgroup; ulimit -n; ls /proc/self/fd | wc -l",
    ]);
    wanted["user"] = json!({"uid": 65534, "gid": 65534, "additionalGids": [10]});
    wanted["cwd"] = json!("/tmp");
    wanted["env"] = json!(["PATH=/bin", "X=y"]);
    wanted["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 77}]);
    wanted["capabilities"] = json!({"bounding": ["CAP_CHOWN"]});
    let expected = "uid=65534(nobody) gid=65534 groups=10(wheel)\n/tmp\n/nowhere y\nc\n\
                    CapEff:\t0000000000000000\nCapBnd:\t0000000000000001\nNoNewPrivs:\t0\n\
                    Seccomp:\t2\nsleep\n0::/\n77\n4\n\
                    mkdir: can't create directory '/tmp/x': Function not implemented\n";
    let (output, code) = machine.exec("c1", "e1", wanted.clone()).await.unwrap();
    assert_eq!((output.as_str(), code), (expected, 0));
    wanted["noNewPrivileges"] = json!(true);
    let (output, _) = machine.exec("c1", "e2", wanted).await.unwrap();
    assert_eq!(output, expected.replace("NoNewPrivs:\t0", "NoNewPrivs:\t1"));
    let mut by_name = exec_of(&["id"]);
    by_name["user"] = json!({"uid": 0, "gid": 0, "username": "nobody"});
    let (output, _) = machine.exec("c1", "e3", by_name).await.unwrap();
    assert_eq!(output, "uid=65534(nobody) gid=65534 groups=10(wheel)\n");
    // What it leaves behind belongs to the container.
    let (output, code) = machine
        .exec("c1", "e4", exec_of(&["sh", "-c", "exit 3"]))
        .await
        .unwrap();
    assert_eq!((output.as_str(), code), ("", 3));
    let request = SignalRequest {
        container_id: "c1".to_owned(),
        signal: 9,
        ..SignalRequest::default()
    };
    machine
        .agent
        .signal_process(patient(), &request)
        .await
        .unwrap();
    let exit = machine.wait("c1", "").await;
    assert_eq!((exit.exit_code, exit.oom_killed), (137, false));
    assert!(
        machine
            .agent
            .signal_process(patient(), &request)
            .await
            .is_err()
    );
    assert_eq!(
        status(machine.exec("c1", "e5", exec_of(&["true"])).await).1,
        "the container `c1` is not running"
    );
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_user_namespace_holds_for_every_process_of_a_container() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    let mut wanted = spec(&[
        "sh",
        "-c",
        "cat /proc/self/uid_map; echo x >/dev/stderr; sleep 1000",
    ]);
    let namespaces = wanted["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "user"}));
    let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    wanted["linux"]["uidMappings"] = mapping.clone();
    wanted["linux"]["gidMappings"] = mapping;
    machine.create("c1", &layers, &wanted).await.unwrap();
    let mut stdout = machine.stream("c1", "", StdioStream::Stdout).await;
    machine.start("c1", "").await.unwrap();
    let line = line_of(&mut stdout).await.unwrap();
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    assert_eq!(fields, ["0", "100000", "65536"]);
    let script = "cat /proc/self/uid_map; id -u; echo x >/dev/stdout";
    let (output, code) = machine
        .exec("c1", "e1", exec_of(&["sh", "-c", script]))
        .await
        .unwrap();
    assert!(
        output.contains("100000") && output.ends_with("\n0\nx\n"),
        "{output}"
    );
    assert_eq!(code, 0);
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn streams_lose_nothing_and_end_exactly() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    // Nobody reads at first: the process has to wait, not the agent.
    let script = "dd if=/dev/zero bs=1M count=100 2>/dev/null; echo end";
    machine
        .create("c1", &layers, &spec(&["sh", "-c", script]))
        .await
        .unwrap();
    let mut stdout = machine.stream("c1", "", StdioStream::Stdout).await;
    machine.start("c1", "").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let reference = ContainerRef {
        id: "c1".to_owned(),
        ..ContainerRef::default()
    };
    let begun = std::time::Instant::now();
    let processes = async |machine: &Machine| {
        let listed = machine.agent.list_processes(patient(), &reference).await;
        listed.unwrap().pids.len()
    };
    while processes(&machine).await < 2 {
        assert!(begun.elapsed() < PATIENCE);
    }
    let start = std::time::Instant::now();
    let (mut total, mut tail, mut buffer) = (0, Vec::new(), vec![0; 1 << 20]);
    loop {
        let count = stdout.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        total += count;
        tail.extend_from_slice(&buffer[count.saturating_sub(4)..count]);
    }
    eprintln!("100 MiB of output in {} ms", start.elapsed().as_millis());
    assert_eq!(total, (100 << 20) + 4);
    assert!(tail.ends_with(b"end\n"));
    assert_eq!(machine.wait("c1", "").await.exit_code, 0);

    machine
        .create("c2", &layers, &spec(&["sh", "-c", "sha1sum; echo done"]))
        .await
        .unwrap();
    let mut stdin = machine.stream("c2", "", StdioStream::Stdin).await;
    let mut stdout = machine.stream("c2", "", StdioStream::Stdout).await;
    machine.start("c2", "").await.unwrap();
    stdin.write_all(&vec![b'a'; 5_000_000]).await.unwrap();
    stdin.shutdown().await.unwrap();
    let mut output = String::new();
    stdout.read_to_string(&mut output).await.unwrap();
    assert!(
        output.starts_with("e9dfe6f3f6bbc9c4ad1d04b0f2b5f5c3") || output.ends_with("-\ndone\n")
    );

    // Without a connection standard input is at its end, and output goes nowhere.
    let (output, code) = machine.run("c3", &layers, &["cat"]).await.unwrap();
    assert_eq!((output.as_str(), code), ("", 0));
    machine
        .create("c4", &layers, &spec(&["sh", "-c", "yes | head -c 1000000"]))
        .await
        .unwrap();
    machine.start("c4", "").await.unwrap();
    assert_eq!(machine.wait("c4", "").await.exit_code, 0);

    // CloseStdin ends it as well.
    machine
        .create("c5", &layers, &spec(&["cat"]))
        .await
        .unwrap();
    let _stdin = machine.stream("c5", "", StdioStream::Stdin).await;
    machine.start("c5", "").await.unwrap();
    machine
        .agent
        .close_stdin(patient(), &process("c5", ""))
        .await
        .unwrap();
    assert_eq!(machine.wait("c5", "").await.exit_code, 0);

    let mut refused = machine.connect(STDIO_PORT).await;
    refused.write_all(b"stdout nobody\n").await.unwrap();
    assert_eq!(
        line_of(&mut refused).await.unwrap(),
        "ERR no container `nobody`"
    );
    let mut refused = machine.connect(STDIO_PORT).await;
    refused.write_all(&[b'x'; 300]).await.unwrap();
    let answer = line_of(&mut refused).await.unwrap();
    assert_eq!(answer, "ERR the line is longer than 256 bytes");
    let mut refused = machine.connect(STDIO_PORT).await;
    refused.write_all(b"stdout c5\n").await.unwrap();
    assert_eq!(
        line_of(&mut refused).await.unwrap(),
        "ERR the process has started"
    );
}

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_terminal_is_one_for_the_first_process_and_for_further_ones() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    let script = "tty; read line; echo got $line; stty size; read end; exit 5";
    let mut wanted = spec(&["sh", "-c", script]);
    wanted["process"]["terminal"] = json!(true);
    wanted["process"]["user"] = json!({"uid": 65534, "gid": 65534});
    machine.create("c1", &layers, &wanted).await.unwrap();
    let mut terminal = machine.stream("c1", "", StdioStream::Terminal).await;
    machine.start("c1", "").await.unwrap();
    assert_eq!(line_of(&mut terminal).await.unwrap(), "/dev/pts/0\r");
    let size = ResizeRequest {
        container_id: "c1".to_owned(),
        columns: 101,
        rows: 41,
        ..ResizeRequest::default()
    };
    machine
        .agent
        .resize_terminal(patient(), &size)
        .await
        .unwrap();
    terminal.write_all(b"hello\n").await.unwrap();
    assert_eq!(line_of(&mut terminal).await.unwrap(), "hello\r");
    assert_eq!(line_of(&mut terminal).await.unwrap(), "got hello\r");
    assert_eq!(line_of(&mut terminal).await.unwrap(), "41 101\r");
    let mut further = exec_of(&["sh", "-c", "tty; test -t 1 && echo yes; echo x >/dev/tty"]);
    further["terminal"] = json!(true);
    machine.add_exec("c1", "e1", further).await.unwrap();
    let mut second = machine.stream("c1", "e1", StdioStream::Terminal).await;
    machine.start("c1", "e1").await.unwrap();
    let mut output = String::new();
    second.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "/dev/pts/1\r\nyes\r\nx\r\n");
    terminal.write_all(b"\n").await.unwrap();
    assert_eq!(machine.wait("c1", "").await.exit_code, 5);
    let mut rest = Vec::new();
    terminal.read_to_end(&mut rest).await.unwrap();
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
async fn an_image_of_a_hundred_layers_runs() {
    let mut machine = Machine::configured().await;
    let image = tempfile::tempdir().unwrap();
    let mut layers = vec![busybox(&image.path().join("base"))];
    for index in 0..99 {
        let layer = image.path().join(format!("layer{index}"));
        fs::create_dir_all(layer.join("d")).unwrap();
        fs::write(layer.join("d").join(index.to_string()), "x").unwrap();
        fs::write(layer.join("top"), index.to_string()).unwrap();
        symlink("/bin", layer.join(format!("link{index}"))).unwrap();
        layers.push(layer);
    }
    let start = std::time::Instant::now();
    let script = "ls /d | wc -l; cat /top; grep -c erofs /proc/mounts";
    let (output, _) = machine
        .run("c1", &layers, &["sh", "-c", script])
        .await
        .unwrap();
    eprintln!("100 layers: {} ms", start.elapsed().as_millis());
    assert_eq!(output, "99\n980\n");
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
