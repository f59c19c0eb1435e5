//! Containers and their processes.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use serde_json::json;
use skete_agent_api::agent::{ContainerRef, ResizeRequest, SignalRequest, StatsRequest};
use skete_agent_api::{STDIO_PORT, StdioStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use ttrpc::Code;

use crate::machine::{Machine, PATIENCE, busybox, exec_of, line_of, patient, process, spec};
use crate::status;

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
    // To the last byte, however soon it ends after it.
    for index in 0..10 {
        let mut further = exec_of(&["sh", "-c", "seq 1 3000; echo end"]);
        further["terminal"] = json!(true);
        let exec = format!("s{index}");
        machine.add_exec("c1", &exec, further).await.unwrap();
        let mut stream = machine.stream("c1", &exec, StdioStream::Terminal).await;
        machine.start("c1", &exec).await.unwrap();
        let mut output = String::new();
        stream.read_to_string(&mut output).await.unwrap();
        assert!(output.ends_with("3000\r\nend\r\n"), "{index}: {output}");
        assert_eq!(output.len(), 13_893 + 3000 + 5);
    }
    terminal.write_all(b"\n").await.unwrap();
    assert_eq!(machine.wait("c1", "").await.exit_code, 5);
    let mut rest = Vec::new();
    terminal.read_to_end(&mut rest).await.unwrap();
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
