//! Registries that lie, stall and break off.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use skete_image::{Digest, PullOptions, Stop};

use crate::common::{Place, in_the_making, options, try_pull};
use crate::server::{Entry, FakeImage, Part, Server, answer, answer_for_ever, gzip, tar_of};

/// Options that give up soon.
fn impatient() -> PullOptions {
    let mut options = options();
    options.timeouts.connect = Duration::from_secs(2);
    options.timeouts.response = Duration::from_secs(2);
    options.timeouts.idle = Duration::from_secs(2);
    options.timeouts.small = Duration::from_secs(4);
    options.timeouts.window = Duration::from_secs(2);
    options.timeouts.retries = 1;
    options
}

/// Pulls what must not be pulled, and looks that nothing is left of it.
fn refused(server: &Server, options: &PullOptions) -> String {
    let place = Place::new();
    let store = place.store();
    let name = server.name("test:1");
    let start = Instant::now();
    let line = try_pull(&store, &name, options).unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}: {line}",
        start.elapsed()
    );
    assert!(line.starts_with(&format!("cannot pull {name}: ")), "{line}");
    assert!(store.list().unwrap().is_empty());
    assert_eq!(in_the_making(&store), [] as [&str; 0]);
    assert!(!line.chars().any(char::is_control), "{line:?}");
    line
}

fn ok(server: &Server, options: &PullOptions) -> FakeResult {
    let place = Place::new();
    let image = try_pull(&place.store(), &server.name("test:1"), options).unwrap();
    FakeResult { id: image.id }
}

struct FakeResult {
    id: Digest,
}

#[test]
fn bytes_of_another_digest_are_told_with_both_digests() {
    let image = FakeImage::new(10_000);
    for part in [Part::Config, Part::Layer] {
        let server = image.server_but(part, move |image, _, stream| {
            let mut bytes = image.bytes(part).to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            answer(stream, "200 OK", &[], &bytes);
        });
        let line = refused(&server, &options());
        let good = Digest::of(image.bytes(part)).to_string();
        assert!(line.contains(&format!("expected {good}")), "{line}");
        assert!(line.contains("damaged or forged"), "{line}");
    }
    let server = Server::start(move |request, stream| image.serve(request, stream));
    let name = server.name(&format!("test@{}", Digest::of(b"asked")));
    let line = try_pull(&Place::new().store(), &name, &options()).unwrap_err();
    assert!(
        line.contains(&format!("expected {}", Digest::of(b"asked"))),
        "{line}"
    );
}

#[test]
fn a_layer_of_another_size_is_refused_before_it_is_read() {
    let image = FakeImage::new(10_000);
    let server = image.server_but(Part::Layer, |image, _, stream| {
        answer(stream, "200 OK", &[], &image.layer[1..]);
    });
    let line = refused(&server, &options());
    let (expected, got) = (image.layer.len(), image.layer.len() - 1);
    assert!(
        line.contains(&format!("should have {expected} bytes")),
        "{line}"
    );
    assert!(line.contains(&format!("has {got}")), "{line}");
}

/// Announces the whole and sends a part of it.
fn cut(stream: &mut TcpStream, head: &str, bytes: &[u8]) {
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(bytes));
}

#[test]
fn a_layer_that_breaks_off_is_taken_up_where_it_stopped() {
    let image = FakeImage::new(300_000);
    for knows_ranges in [true, false] {
        let tries = AtomicUsize::new(0);
        let server = image.server_but(Part::Layer, move |image, request, stream| {
            let size = image.layer.len();
            let from = request.range().filter(|_| knows_ranges).unwrap_or(0);
            let rest = &image.layer[from..];
            // Each connection gets a third further.
            let third = size / 3 * (tries.fetch_add(1, Ordering::Relaxed) + 1);
            let sent = &rest[..rest.len().min(third.saturating_sub(from))];
            let head = match from {
                0 => format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n"),
                _ => format!(
                    "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\n\
                     content-range: bytes {from}-{}/{size}\r\n\r\n",
                    rest.len(),
                    size - 1
                ),
            };
            cut(stream, &head, sent);
        });

        assert_eq!(ok(&server, &options()).id, Digest::of(&image.config));

        let requests = server.requests();
        let layers = requests
            .iter()
            .filter(|request| image.part(request) == Part::Layer);
        let ranges: Vec<_> = layers.map(|request| request.range()).collect();
        let third = image.layer.len() / 3;
        assert_eq!(
            ranges[..3],
            [None, Some(third), Some(2 * third)],
            "{knows_ranges}"
        );
    }
}

#[test]
fn a_layer_that_always_breaks_off_is_told_with_what_came() {
    let image = FakeImage::new(300_000);
    let server = image.server_but(Part::Layer, |image, request, stream| {
        let size = image.layer.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
        let from = request.range().unwrap_or(0);
        assert!(from <= 1000);
        cut(stream, &head, &image.layer[..1000]);
    });
    let line = refused(&server, &options());
    let layer = Digest::of(&image.layer);
    assert!(
        line.contains(&format!("layer {layer}: {} broke off", server.address)),
        "{line}"
    );
    let layers = server
        .requests()
        .iter()
        .filter(|r| image.part(r) == Part::Layer)
        .count();
    assert!(layers <= 30, "{layers}");
}

#[test]
fn answers_without_end_are_cut() {
    let image = FakeImage::new(10_000);
    for (part, what) in [
        (Part::Manifest, "manifest"),
        (Part::Config, "configuration"),
    ] {
        let server = image.server_but(part, |_, _, stream| {
            answer_for_ever(stream, &[b' '; 65536], Duration::ZERO);
        });
        let line = refused(&server, &options());
        assert!(
            line.contains(&format!("sent a {what} of more than 4194304 bytes")),
            "{line}"
        );
    }
    // Of a layer, what the manifest names is read and no more.
    let server = image.server_but(Part::Layer, |image, _, stream| {
        answer_for_ever(stream, &image.layer, Duration::ZERO);
    });
    ok(&server, &options());
    let server = image.server_but(Part::Manifest, |_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"x-header: without end\r\n").is_ok() {}
    });
    refused(&server, &options());
}

#[test]
fn a_registry_that_does_not_answer_is_given_up() {
    let image = FakeImage::new(10_000);
    for part in [Part::Manifest, Part::Layer] {
        let silent = image.server_but(part, |_, _, _| std::thread::sleep(Duration::from_secs(9)));
        let line = refused(&silent, &impatient());
        assert!(line.contains("is too slow: no answer in time"), "{line}");
    }
}

#[test]
fn a_manifest_that_drips_is_given_up() {
    // Something within every idle time, and never enough.
    let image = FakeImage::new(10_000);
    let dripping = image.server_but(Part::Manifest, |_, _, stream| {
        answer_for_ever(stream, b" ", Duration::from_millis(200));
    });
    let line = refused(&dripping, &impatient());
    assert!(
        line.contains("is too slow: the whole answer did not come in time"),
        "{line}"
    );
}

#[test]
fn a_layer_that_drips_is_given_up() {
    let image = FakeImage::new(10_000);
    let dripping = image.server_but(Part::Layer, |_, _, stream| {
        answer_for_ever(stream, b" ", Duration::from_millis(200));
    });
    let line = refused(&dripping, &impatient());
    assert!(
        line.contains("is too slow: ") && line.contains(" bytes in 2 s"),
        "{line}"
    );
}

#[test]
fn a_layer_that_halts_is_given_up() {
    let image = FakeImage::new(300_000);
    let halting = image.server_but(Part::Layer, |image, _, stream| {
        let size = image.layer.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
        cut(stream, &head, &image.layer[..1000]);
        std::thread::sleep(Duration::from_secs(9));
    });
    let line = refused(&halting, &impatient());
    assert!(line.contains("is too slow: no byte came in time"), "{line}");
}

#[test]
fn a_failure_that_passes_is_tried_again() {
    let image = FakeImage::new(10_000);
    for (part, status) in [
        (Part::Manifest, "500 Internal Server Error"),
        (Part::Config, "503 Service Unavailable"),
        (Part::Layer, "429 Too Many Requests"),
    ] {
        let tries = AtomicUsize::new(0);
        let server = image.server_but(part, move |image, request, stream| {
            match tries.fetch_add(1, Ordering::Relaxed) {
                0 => answer(stream, status, &[], b""),
                // Closed without a word.
                1 => {}
                _ => image.serve(request, stream),
            }
        });
        ok(&server, &options());
    }
    let server = image.server_but(Part::Manifest, |_, _, stream| {
        let body = br#"{"errors": [{"code": "UNKNOWN", "message": "disk\u001b[31m\nbroken"}]}"#;
        answer(stream, "502 Bad Gateway", &[], body);
    });
    let line = refused(&server, &options());
    assert!(line.contains("answered 502 (disk [31m broken)"), "{line}");
    assert_eq!(server.requests().len(), 5);
    let server = image.server_but(Part::Manifest, |_, _, stream| {
        answer(stream, "429 Too Many Requests", &[], b"");
    });
    assert!(refused(&server, &options()).contains("no more requests for now; log in"));
}

#[test]
fn what_is_not_http_is_not_taken_for_it() {
    for bytes in [
        &b"SSH-2.0-OpenSSH\r\n"[..],
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        &[0; 100],
    ] {
        let server = Server::start(move |_, stream| {
            let _ = stream.write_all(bytes);
        });
        let mut options = impatient();
        options.timeouts.retries = 0;
        refused(&server, &options);
    }
}

#[test]
fn hostile_layers_are_refused_by_layer_and_entry() {
    let link = |kind, name, link| Entry {
        name,
        kind,
        link,
        content: b"",
    };
    for (entries, part) in [
        (
            vec![Entry::file("../../etc/passwd", b"x")],
            "../../etc/passwd",
        ),
        (vec![link(b'1', "a", "../../etc/passwd")], "entry \"a\""),
        (
            vec![link(b'1', "a", "none")],
            "\"none\" is not in this layer",
        ),
        (
            vec![Entry::file("a", b"x"), Entry::file("a/b", b"x")],
            "a/b",
        ),
    ] {
        let image = FakeImage::of_tar(&tar_of(&entries));
        let layer = Digest::of(&image.layer);
        let server = Server::start(move |request, stream| image.serve(request, stream));
        let line = refused(&server, &options());
        assert!(
            line.contains(&format!("layer {layer}: ")) && line.contains(part),
            "{line}"
        );
    }
}

#[test]
fn a_decompression_bomb_is_refused_on_its_way() {
    let member = gzip(&vec![0; 1 << 20]);
    let image = FakeImage::of_layer(member.repeat(4096), Digest::of(b"unknown"));
    assert!(image.layer.len() < 5 << 20);
    let server = Server::start(move |request, stream| image.serve(request, stream));
    let mut options = options();
    options.limits.ratio_from = 4 << 20;
    assert!(refused(&server, &options).contains("decompression bomb"));
}

#[test]
fn a_pull_ends_at_the_callers_word() {
    let image = FakeImage::new(300_000);
    let server = image.server_but(Part::Layer, |_, _, stream| {
        answer_for_ever(stream, b" ", Duration::from_millis(20));
    });
    let mut options = options();
    let stop = Stop::default();
    options.stop = stop.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        stop.stop();
    });
    let start = Instant::now();
    let line = refused(&server, &options);
    assert!(line.ends_with("stopped"), "{line}");
    assert!(start.elapsed() < Duration::from_secs(5));
}
