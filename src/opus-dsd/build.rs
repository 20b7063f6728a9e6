//! Says what to do when libtorch is not set up yet (a plain `cargo build` would fail inside C++), and stamps the build id.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=src/opus-dsd/build.rs");
    println!("cargo::rerun-if-changed=.libtorch");
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    if !Path::new(&root).join(".libtorch/torch/lib").exists() {
        println!("cargo::error=libtorch is not set up; run `cargo xtask build` (or `cargo xtask setup`, then any cargo command)");
    }
}
