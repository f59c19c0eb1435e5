//! A small HTTP server that answers as a test says, badly if need be.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use skete_image::Digest;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Method, path and query.
    pub(crate) line: String,
    /// By lower-case name.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Where a range that was asked for begins.
    pub(crate) fn range(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.split('-').next()?.parse().ok()
    }
}

type Handler = dyn Fn(&Request, &mut TcpStream) + Send + Sync;

/// The server; its threads end when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
}

impl Server {
    pub(crate) fn start(
        handler: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let over: Arc<AtomicBool> = Arc::default();
        let handler: Arc<Handler> = Arc::new(handler);
        let (seen, end) = (requests.clone(), over.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let (handler, seen) = (handler.clone(), seen.clone());
                std::thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    if let Some(request) = read_request(&stream) {
                        seen.lock().unwrap().push(request.clone());
                        handler(&request, &mut stream);
                    }
                });
            }
        });
        Self {
            address,
            requests,
            over,
        }
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.address);
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    std::io::Read::read_exact(&mut reader, &mut body).ok()?;
    Some(Request {
        line,
        headers,
        body: String::from_utf8(body).unwrap(),
    })
}

/// Sends a whole answer; that the client has gone is fine.
pub(crate) fn answer(stream: &mut TcpStream, status: &str, headers: &[(&str, &str)], body: &[u8]) {
    let length = body.len();
    let mut head =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
}

/// Sends the same bytes until the client has gone.
pub(crate) fn answer_for_ever(stream: &mut TcpStream, bytes: &[u8], pause: Duration) {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    let mut sent = stream.write_all(head.as_bytes());
    while sent.is_ok() {
        std::thread::sleep(pause);
        sent = stream.write_all(bytes);
    }
}

/// An image of one layer, as a registry has it.
#[derive(Clone)]
pub(crate) struct FakeImage {
    pub(crate) manifest: Vec<u8>,
    pub(crate) config: Vec<u8>,
    pub(crate) layer: Vec<u8>,
    /// The end of the layer's path; hashing anew for each request would take its time.
    layer_path: String,
}

impl FakeImage {
    /// With a file of pseudo-random bytes, so that it does not compress away.
    pub(crate) fn new(bytes: usize) -> Self {
        let mut state = 1u32;
        let content: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(bytes)
        .collect();
        Self::of_tar(&tar_of(&[Entry::file("content", &content)]))
    }

    pub(crate) fn of_tar(tar: &[u8]) -> Self {
        Self::of_layer(gzip(tar), Digest::of(tar))
    }

    pub(crate) fn of_layer(layer: Vec<u8>, diff_id: Digest) -> Self {
        let config = serde_json::to_vec(&json!({
            "architecture": skete_image::Platform::host().arch, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diff_id.to_string()]},
        }));
        let config = config.unwrap();
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                "size": config.len(), "digest": Digest::of(&config).to_string()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
                "size": layer.len(), "digest": Digest::of(&layer).to_string()}],
        }));
        Self {
            manifest: manifest.unwrap(),
            config,
            layer_path: format!("/blobs/{}", Digest::of(&layer)),
            layer,
        }
    }

    /// Which part a request is for.
    pub(crate) fn part(&self, request: &Request) -> Part {
        let path = request.path();
        let config_path = format!("/blobs/{}", Digest::of(&self.config));
        match path {
            _ if path.contains("/manifests/") => Part::Manifest,
            _ if path.contains(&config_path) => Part::Config,
            _ if path.contains(&self.layer_path) => Part::Layer,
            _ => Part::Other,
        }
    }

    pub(crate) fn bytes(&self, part: Part) -> &[u8] {
        match part {
            Part::Manifest => &self.manifest,
            Part::Config => &self.config,
            Part::Layer => &self.layer,
            Part::Other => b"",
        }
    }

    /// Answers as a good registry does.
    pub(crate) fn serve(&self, request: &Request, stream: &mut TcpStream) {
        match self.part(request) {
            Part::Other => answer(stream, "404 Not Found", &[], b""),
            part => answer(stream, "200 OK", &[], self.bytes(part)),
        }
    }

    /// A server that answers one part in a way of its own, and the others well.
    pub(crate) fn server_but(
        &self,
        odd: Part,
        handler: impl Fn(&Self, &Request, &mut TcpStream) + Send + Sync + 'static,
    ) -> Server {
        let image = self.clone();
        Server::start(move |request, stream| match image.part(request) {
            part if part == odd => handler(&image, request, stream),
            _ => image.serve(request, stream),
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Manifest,
    Config,
    Layer,
    Other,
}

/// An entry of a tar.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: u8,
    pub(crate) link: &'a str,
    pub(crate) content: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(crate) fn file(name: &'a str, content: &'a [u8]) -> Self {
        Self {
            name,
            kind: b'0',
            link: "",
            content,
        }
    }
}

/// A tar of such entries, whatever their names: tar itself would not write them.
pub(crate) fn tar_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        let mut header = [0; 512];
        header[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        for (place, text) in [(100, "0000644"), (108, "0000000"), (116, "0000000")] {
            header[place..place + 7].copy_from_slice(text.as_bytes());
        }
        header[124..135].copy_from_slice(format!("{:011o}", entry.content.len()).as_bytes());
        header[136..147].copy_from_slice(b"00000000000");
        header[148..156].copy_from_slice(b"        ");
        header[156] = entry.kind;
        header[157..157 + entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        tar.extend(header);
        tar.extend(entry.content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
