//! `skete run IMAGE`.

use serde_json::Value;

use crate::support::{HELLO, Machine, Terminal, eventually};

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn output_exit_code_and_receipt_are_those_of_the_command() {
    let machine = Machine::new();
    let script = "echo out; echo err >&2; exit 3";
    let ended = machine.skete(&["run", "--name", "a", HELLO, "sh", "-c", script]);
    let ended = ended.exits(3);
    assert_eq!(ended.out(), "out\n");
    let (err, receipt) = ended.stderr.split_once('\n').unwrap();
    assert_eq!(err, "err");
    assert_eq!(receipt.lines().count(), 1, "{receipt}");
    assert!(receipt.starts_with("skete: Pod a: "), "{receipt}");
    assert!(
        receipt.contains("vCPU-s") && receipt.contains("MiB-s"),
        "{receipt}"
    );

    let words = ["run", "--rm", "--receipt", "json", HELLO, "echo", "hello"];
    let ended = machine.skete(&words).exits(0);
    assert_eq!(ended.out(), "hello\n");
    let receipt: Value = serde_json::from_str(&ended.stderr).unwrap();
    let span = &receipt["spans"][0];
    assert!(span["endNs"].as_i64() > span["startNs"].as_i64(), "{span}");
    assert_eq!(span["provisioned"]["milliVcpus"], 1000, "{span}");
    // What the host has in its page cache already is not read from a disk: that may be 0.
    for field in ["cpuNs", "memoryByteNs"] {
        assert!(
            span["used"][field].as_f64().unwrap() > 0.0,
            "{field}: {span}"
        );
    }
    assert_eq!(receipt["ended"], "seen");
    assert_eq!(receipt["containerStarts"], 1);

    // The one with --rm is gone.
    let names = machine.skete(&["ps", "-a", "-o", "name"]).exits(0);
    assert_eq!(names.out(), "pod/a\n");
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_command_that_cannot_be_run_is_told_of_in_one_line() {
    let machine = Machine::new();
    let cases = [
        ("nowhere", 127, "nowhere"),
        ("/bin/plain", 126, "/bin/plain"),
        ("/bin/foreign", 126, "/bin/foreign"),
    ];
    for (program, code, word) in cases {
        let words = ["run", "-q", "--rm", "--network", "none", HELLO, program];
        machine.skete(&words).refuses(code, &[word]);
    }
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn flags_change_what_the_command_sees() {
    let machine = Machine::new();
    let script = "echo $A $B; pwd; id -u; id -g; hostname; touch /x || echo read-only";
    let ended = machine
        .skete(&[
            "run",
            "--rm",
            "-q",
            "-e",
            "A=one",
            "--env",
            "B=two",
            "-w",
            "/tmp",
            "-u",
            "hello",
            "--hostname",
            "cell",
            "--read-only",
            "--entrypoint",
            "sh",
            "--network",
            "none",
            HELLO,
            "-c",
            script,
        ])
        .exits(0);
    let said = ended.out();
    let said: Vec<_> = said.lines().collect();
    assert_eq!(
        said,
        ["one two", "/tmp", "1000", "1000", "cell", "read-only"]
    );
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn twenty_megabytes_go_in_and_come_out_as_they_were() {
    let machine = Machine::new();
    // No two blocks are alike, so that one that is lost or doubled is seen.
    let sent: Vec<u8> = (0..2_500_000u64).flat_map(|n| n.to_be_bytes()).collect();
    let words = ["run", "--rm", "-q", "-i", "--network", "none", HELLO, "cat"];
    let ended = machine.skete_with(&words, &sent).exits(0);
    assert_eq!(ended.stdout.len(), sent.len());
    assert!(ended.stdout == sent, "not what was sent");
    assert_eq!(ended.stderr, "");
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_pod_ends_quietly_when_nobody_reads_it_any_more() {
    let machine = Machine::new();
    let line = format!(
        "{} run --rm -q --stop-timeout 3600 --network none {HELLO} yes | head -1",
        machine.program()
    );
    let mut shell = machine.command("timeout", &["120", "sh", "-c", &line]);
    let output = shell.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "y\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
    // `yes` is the container's first process and heeds no wish to end: it gets no grace.
    eventually("the end of the Pod", || {
        machine.leftovers().is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_terminal_has_its_size_its_changes_of_size_and_its_ctrl_c() {
    let machine = Machine::new();
    let command = machine.start(&["run", "--rm", "-q", "-it", "--network", "none", HELLO]);
    let mut terminal = Terminal::start(&command, 91, 31);
    terminal.shows("# ");
    terminal.type_in("stty size; tty\n");
    terminal.shows("31 91");
    terminal.shows("/dev/pts/0");
    terminal.resize(101, 41);
    // The change travels to the guest while this is typed.
    terminal.type_in("sleep 1; stty size\n");
    terminal.shows("41 101");
    terminal.type_in("sleep 1000\n");
    std::thread::sleep(std::time::Duration::from_secs(1));
    terminal.type_in("\x03");
    terminal.type_in("echo code $?\n");
    terminal.shows("code 130");
    terminal.type_in("exit 5\n");
    assert_eq!(terminal.exit_code(), 5);
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn what_cannot_be_had_is_refused_in_one_line_and_nothing_is_left() {
    let machine = Machine::new();
    let cases: [(&[&str], &[&str]); 8] = [
        (&["run", "-q", "--rm", "-m", "9000g", HELLO], &["memory"]),
        (&["run", "-q", "-m", "many", HELLO], &["many"]),
        (&["run", "-q", "--cpus", "few", HELLO], &["few"]),
        (
            &["run", "-q", "--pull", "never", "localhost/none:1"],
            &["localhost/none:1"],
        ),
        (&["run", "-q", "UPPER/case"], &["UPPER/case"]),
        (&["run", "-q", "./none.yaml"], &["./none.yaml"]),
        (
            &["run", "-q", "--rm", "-u", "nobody-knows", HELLO],
            &["nobody-knows"],
        ),
        (&["run", "-q", "-p", "99999:80", HELLO], &["99999"]),
    ];
    for (words, told) in cases {
        machine.skete(words).refuses(125, told);
    }
    assert_eq!(machine.skete(&["ps", "-a", "-q"]).exits(0).out(), "");
    assert_eq!(machine.leftovers(), Vec::<String>::new());
}

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn a_pod_that_no_vm_can_be_is_refused_and_never_was_one() {
    let machine = Machine::new();
    for (flags, parts) in [
        (["-m", "1000g"], ["memory", "lower its memory limit"]),
        (["--cpus", "100"], ["100 vCPUs", "lower its CPU limit"]),
        (["--hypervisor", "bhyve"], ["bhyve", "kvm or emulation"]),
    ] {
        let words = [&["run"], &flags[..], &[HELLO, "true"]].concat();
        machine.skete(&words).refuses(125, &parts);
    }
    assert_eq!(machine.skete(&["ps", "-a", "-q"]).out(), "");
}
