//! Says what to do when libtorch is not set up yet (a plain `cargo build` would fail inside C++), and stamps the build id.

use std::path::Path;

#[path = "../contract/build_id.rs"]
mod build_id;

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let root = Path::new(&root);
    println!("cargo::rerun-if-changed={}", root.join(".libtorch").display());
    if !root.join(".libtorch/torch/lib").exists() {
        println!("cargo::error=libtorch is not set up; run `cargo xtask build` (or `cargo xtask setup`, then any cargo command)");
    }
    build_id::stamp(root);
}
