//! Generated gRPC code, and how its messages are read.

pub mod codec;
pub mod view;

/// `iamd.v1`: the wire contract, see `proto/iamd/v1/authorization.proto`.
#[expect(missing_docs, clippy::allow_attributes_without_reason, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("iamd.v1");

    /// The compiled descriptors, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
