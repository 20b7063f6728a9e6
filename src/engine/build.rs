//! Lets the engine and its tests find libtorch without `LD_LIBRARY_PATH`, and stamps the build id.

use std::path::Path;

#[path = "../contract/build_id.rs"]
mod build_id;

fn main() {
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else {
        println!("cargo::error=libtorch is not set up; run `cargo xtask setup` first (or `cargo xtask build`, which does)");
        return;
    };
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/opus-dsd/torch/lib"); // as installed
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}"); // as built
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    build_id::stamp(&Path::new(&package).join("../.."));
}
