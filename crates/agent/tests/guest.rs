//! The agent in a guest. Each test boots its own; `SKETE_TEST_KERNEL`, `SKETE_TEST_AGENT` (the
//! static program) and `SKETE_TEST_VSOCK` name what they are made of.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod machine;

use std::fs;

use machine::{Machine, busybox, exec_of, patient, process, spec};

#[tokio::test]
#[ignore = "needs a guest kernel: run by cargo xtask test"]
async fn a_container_runs_and_its_exit_code_and_output_come_back() {
    let mut machine = Machine::configured().await;
    eprintln!("listening after {} ms", machine.hello.uptime_ns / 1_000_000);
    let image = tempfile::tempdir().unwrap();
    let layers = [busybox(image.path())];
    let script = "echo out; echo err >&2; hostname; id -u; exit 7";
    let (output, code) = machine.run("c1", &layers, &["sh", "-c", script]).await.unwrap();
    assert_eq!((output.as_str(), code), ("out\nc\n0\nerr\n", 7));
    let reference = process("c1", "");
    machine.agent.delete_process(patient(), &reference).await.unwrap();
    // The id is free again.
    let (output, code) = machine.run("c1", &layers, &["echo", "again"]).await.unwrap();
    assert_eq!((output.as_str(), code), ("again\n", 0));
    println!("{}", fs::read_to_string(machine.dir.path().join("console")).unwrap());
    machine.power_off().await;
}
