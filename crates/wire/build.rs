//! Compiles the proto files with a pure Rust compiler, so that no `protoc` has to be installed.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 7] = [
    "workload.proto",
    "authorization.proto",
    "discovery.proto",
    "ca.proto",
    "node.proto",
    "extension.proto",
    "waypoint.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("proto");
    let descriptors = protox::compile(FILES, [folder])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        // Ordered maps: a resource's version is a hash of its encoding, so that must be one.
        .btree_map(".")
        .include_file("ambit.rs")
        .compile_fds(descriptors)?;
    Ok(())
}
