use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};

use skete_usage::{Clock, EndReason, Event, Moment, Opening, Size, Writer};

use super::*;
use crate::commands::prices;

/// A name that is none of Kubernetes', and markup: a journal may say anything.
const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\"'\\";

/// A clock that moves on by a second when it is read.
struct Seconds(std::cell::Cell<i64>);

impl Clock for Seconds {
    fn now(&self) -> Moment {
        let second = self.0.get();
        self.0.set(second + 1);
        Moment {
            monotonic_ns: second.unsigned_abs() * 1_000_000_000,
            wall_ns: (1_793_491_200 + second) * 1_000_000_000,
        }
    }
}

/// The journal of a Pod that ran for a second at the beginning of November 2026.
fn write_journal(paths: &Paths, uid: &str, namespace: &str) {
    let opening: Opening = serde_json::from_value(serde_json::json!({
        "pod": {
            "uid": uid, "name": "web", "namespace": namespace, "labels": {"app": HOSTILE},
            "node": "n", "architecture": "amd64", "runtime": "skete",
        },
        "sandbox": uid, "boot": "b",
        "provisioned": Size { milli_vcpus: 1000, memory_bytes: 1 << 30, ..Size::default() },
    }))
    .unwrap();
    let place = paths.journals().place("b", "skete", uid, 0);
    let mut writer = Writer::create(&place, opening, Seconds(10.into())).unwrap();
    writer.write(Event::End(EndReason::Ended)).unwrap();
}

/// A server of two Pods of one name, at an address of its own.
fn start() -> (tempfile::TempDir, SocketAddr) {
    let root = tempfile::tempdir().unwrap();
    let paths = Paths::new(root.path(), root.path().join("run"));
    write_journal(&paths, "u1", "a");
    write_journal(&paths, "u2", HOSTILE);
    let list = prices::find("own-hardware").unwrap_or_else(|_| panic!("no list"));
    let server = Server::new(paths, list, "c".to_owned(), Detail::Pod, true)
        .unwrap_or_else(|failure| panic!("{:?}", failure.message()));
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = crate::runtime().unwrap_or_else(|_| panic!("no runtime"));
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let _ = serve(listener, server).await;
        });
    });
    (root, told.recv().unwrap())
}

fn request(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A server that refuses closes before all is read.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn get(address: SocketAddr, target: &str) -> (String, String) {
    let text = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let answer = request(address, &text);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

const WINDOW: &str = "window=2026-11-01T00:00:00Z,2026-11-02T00:00:00Z";

#[test]
fn opencosts_paths_answer_and_errors_have_its_form() {
    let (_root, address) = start();
    assert_eq!(get(address, "/healthz").1, "ok\n");
    for path in [
        "/allocation",
        "/allocation/compute",
        "/allocation/summary",
        "/allocation/compute/summary",
        "/model/allocation",
        "/assets",
    ] {
        let (head, body) = get(address, &format!("{path}?{WINDOW}"));
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{path}: {head}");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["code"], 200, "{path}");
    }
    let (_, body) = get(
        address,
        &format!("/allocation?{WINDOW}&aggregate=namespace,pod"),
    );
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    let pod = &json["data"][0]["a/web@u1"];
    assert!(pod["totalCost"].as_f64().unwrap() > 0.0, "{body}");
    assert_eq!(pod["properties"]["labels"]["app"], HOSTILE);

    for (path, code, told) in [
        (
            "/allocation",
            "400",
            r#"{"code":400,"message":"parameter \"window\" is missing"}"#,
        ),
        (
            "/nothing",
            "404",
            r#"{"code":404,"message":"there is no such path"}"#,
        ),
    ] {
        let (head, body) = get(address, path);
        assert!(head.starts_with(&format!("HTTP/1.1 {code}")), "{head}");
        assert_eq!(body, told);
    }
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_puts_no_markup_together() {
    let (_root, address) = start();
    let (head, html) = get(address, "/");
    assert!(
        head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
        "{head}"
    );
    assert!(head.contains("x-content-type-options: nosniff"));
    let (_, script) = get(address, "/page.js");
    let (_, style) = get(address, "/page.css");
    for text in [&html, &style] {
        assert!(!text.contains("http:") && !text.contains("https:"));
    }
    for markup in [
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
    ] {
        assert!(!script.contains(markup), "{markup}");
    }
    assert!(
        !html.contains(" on") || !html.contains("onclick="),
        "inline handlers"
    );
    assert!(!html.contains("style="));
}

#[test]
fn what_is_too_large_or_not_http_is_refused_and_the_server_goes_on() {
    let (_root, address) = start();
    let long = "x".repeat(MAX_REQUEST * 2);
    let answer = request(
        address,
        &format!("GET /?{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"),
    );
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    let many = "a: b\r\n".repeat(MAX_HEADERS * 2);
    let answer = request(address, &format!("GET / HTTP/1.1\r\n{many}\r\n"));
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(request(address, "\0\r\n\r\n").starts_with("HTTP/1.1 400"));
    let post = "POST /allocation HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx";
    assert!(request(address, post).starts_with("HTTP/1.1 405"));
    assert_eq!(get(address, "/healthz").1, "ok\n");
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let (_root, address) = start();
    let (head, text) = get(address, "/metrics");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(
        text.contains("skete_cost_total{namespace=\"a\",currency=\"EUR\"} 0.00"),
        "{text}"
    );
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        // Without it, each line is a comment or a series with a number.
        for line in text.lines().filter(|line| !line.starts_with("# ")) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(!series.is_empty() && value.parse::<f64>().is_ok(), "{line}");
        }
        return;
    };
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    // 3: it has remarks on style, as on OpenCost's own names.
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        [Some(0), Some(3)].contains(&output.status.code()),
        "{told}\n{text}"
    );
}

#[test]
fn a_name_that_somebody_gave_this_machines_address_is_refused() {
    let (_root, address) = start();
    let code = |host: &str| {
        let text = format!("GET /healthz HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        request(address, &text)[9..12].to_owned()
    };
    for host in [
        "localhost",
        "localhost:9003",
        "127.0.0.1:9003",
        "[::1]:9003",
    ] {
        assert_eq!(code(host), "200", "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:9003",
        "127.0.0.1.evil.example",
        "localhost.evil.example:1",
    ] {
        assert_eq!(code(host), "421", "{host}");
    }
}
