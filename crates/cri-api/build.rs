//! Generates the messages from `proto/runtime.proto`, without `protoc`.

use std::{env, io};

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
        .map_err(io::Error::other)
}
