//! Bytes in and out of a Pod.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Stdio;

use crate::cluster::{Namespace, cluster, pod};

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn no_byte_is_lost_through_an_exec_and_its_code_comes_back() {
    const BYTES: usize = 32 << 20;
    let space = Namespace::new("exec");
    space.apply(&pod("cat", "sleep 1000", "", ""));
    space.ready("cat");
    let mut child = space
        .command(&["exec", "-i", "cat", "--", "sh", "-c", "cat; exit 7"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let bytes = |at: usize| (at / 3) as u8;
    let writer = std::thread::spawn(move || {
        let all: Vec<u8> = (0..BYTES).map(bytes).collect();
        input.write_all(&all).unwrap();
    });
    let mut output = Vec::with_capacity(BYTES);
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut output)
        .unwrap();
    writer.join().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(output.len(), BYTES);
    assert!(
        output
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == bytes(at))
    );
}

#[test]
#[ignore = "needs a cluster: run by cargo xtask test"]
fn a_port_of_the_guests_own_loopback_is_forwarded() {
    let space = Namespace::new("forward");
    let serve = "mkdir /www; echo inside > /www/index.html; httpd -f -p 127.0.0.1:8080 -h /www";
    space.apply(&pod("server", serve, "", ""));
    space.ready("server");
    let mut forward = space
        .command(&["port-forward", "server", ":8080"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut lines = BufReader::new(forward.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    // Forwarding from 127.0.0.1:34567 -> 8080
    let address = line.split_whitespace().nth(2).unwrap().to_owned();
    let answer = cluster(&["run", "curl", "-fsS", "--retry", "5", "--retry-all-errors"])
        .arg(format!("http://{address}/"))
        .output()
        .unwrap();
    forward.kill().unwrap();
    forward.wait().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&answer.stdout),
        "inside\n",
        "{line}"
    );
}
