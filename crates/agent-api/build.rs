//! Generates the messages and the ttrpc service from `proto/agent.proto`, without `protoc`.

use std::path::Path;
use std::{env, fs, io};

use ttrpc_codegen::{Codegen, Customize};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=proto");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    Codegen::new()
        .out_dir(&out)
        .input("proto/agent.proto")
        .include("proto")
        .rust_protobuf()
        .customize(Customize {
            async_all: true,
            ..Default::default()
        })
        .run()?;
    for file in ["agent.rs", "agent_ttrpc.rs"] {
        strip_inner_lines(&Path::new(&out).join(file))?;
    }
    Ok(())
}

/// `include!` takes no inner attributes and no inner doc comments, so they go.
fn strip_inner_lines(file: &Path) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    let kept = text
        .lines()
        .filter(|line| !line.starts_with("#![") && !line.starts_with("//!"));
    fs::write(file, kept.collect::<Vec<_>>().join("\n"))
}
