//! Generates the protocol that the stand-in server speaks from the files in the folder of the client's own crate,
//! so that nothing is copied and both follow one definition.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The client whose folder has the definitions.
const CLIENT: &str = "kurrentdb";

/// What the stand-in serves, and what belongs into the details of an error.
const DEFINITIONS: [&str; 5] = [
    "gossip.proto",
    "operations.proto",
    "serverfeatures.proto",
    "streams.proto",
    "shared.proto",
];

/// Messages that are the same on the wire and have two names, the second of which we do without.
const TWINS: [(&str, &str); 3] = [
    ("TombstoneReq", "DeleteReq"),
    ("TombstoneResp", "DeleteResp"),
    (
        "BatchAppendReq.ProposedMessage",
        "append_req::ProposedMessage",
    ),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../Cargo.lock");
    let folder = folder_of(CLIENT)?.join("protos");
    let definitions = protox::compile(DEFINITIONS, [&folder])?;
    let mut generator = tonic_build::configure();
    for (twin, ours) in TWINS {
        let twin = format!(".event_store.client.streams.{twin}");
        generator =
            generator.extern_path(twin, format!("crate::standin::protocol::streams::{ours}"));
    }
    generator
        .extern_path(".event_store.client.Empty", "()")
        .bytes(["."])
        .include_file("protocol.rs")
        .compile_fds(definitions)?;
    Ok(())
}

/// Where cargo keeps the sources of a crate that we depend on.
fn folder_of(name: &str) -> Result<PathBuf, Box<dyn Error>> {
    let output = Command::new(std::env::var("CARGO")?)
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
        ])
        .arg(std::env::var("TARGET")?)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("no packages")?;
    let package = packages.iter().find(|package| package["name"] == name);
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let manifest = Path::new(manifest.ok_or("the client is not among our dependencies")?);
    Ok(manifest
        .parent()
        .ok_or("a manifest lies in a folder")?
        .to_owned())
}
