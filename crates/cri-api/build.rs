//! Generates the messages from `proto/runtime.proto`, without `protoc`.

use std::path::Path;
use std::{env, fs, io};

use protobuf_codegen::Codegen;

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=proto");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    Codegen::new()
        .pure()
        .out_dir(&out)
        .input("proto/runtime.proto")
        .include("proto")
        .run()
        .map_err(io::Error::other)?;
    strip_inner_lines(&Path::new(&out).join("runtime.rs"))
}

/// `include!` takes no inner attributes and no inner doc comments, so they go.
fn strip_inner_lines(file: &Path) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    let kept = text
        .lines()
        .filter(|line| !line.starts_with("#![") && !line.starts_with("//!"));
    fs::write(file, kept.collect::<Vec<_>>().join("\n"))
}
