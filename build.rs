//! Generates the gRPC code from `proto/`, with a compiler written in Rust: no `protoc` is needed; and repacks AWS's
//! facts in `data/` as the library reads them.
use std::{env, error::Error, fs, path::PathBuf};

#[path = "build/catalogue.rs"]
mod catalogue;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    generate_grpc(&out)?;
    catalogue::generate(&out)?;
    Ok(())
}

fn generate_grpc(out: &std::path::Path) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(["iamd/v1/authorization.proto"], ["proto"])?;
    let bytes = protox::prost::Message::encode_to_vec(&descriptors);
    fs::write(out.join("descriptors.bin"), bytes)?;
    tonic_prost_build::configure().build_server(false).compile_fds(descriptors)?;
    Ok(())
}
