//! Generates the messages and the ttrpc service from `proto/agent.proto`, without `protoc`.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::{env, io};

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
    // The messages' module is in there. `gen_mod` would add an inner attribute, which `include!`
    // does not take.
    let index = Path::new(&out).join("mod.rs");
    let mut index = OpenOptions::new().append(true).open(index)?;
    index.write_all(b"\npub mod agent_ttrpc;\n")
}
