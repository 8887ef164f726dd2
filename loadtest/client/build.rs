//! Generates the messages from the service's own `proto/`, and those of Cerbos that are sent.
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=../../proto");
    println!("cargo:rerun-if-changed=proto");
    let files = ["iamd/v1/authorization.proto", "cerbos.proto"];
    let descriptors = protox::compile(files, ["../../proto", "proto"])?;
    // Maps in the order of their keys: the same seed gives the same bytes.
    prost_build::Config::new().btree_map(["."]).compile_fds(descriptors)?;
    Ok(())
}
