//! Lets the engine and its tests find libtorch without `LD_LIBRARY_PATH`, compiles the bridge to C++, and stamps the build id.

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
    compile_bridge(Path::new(&lib));
    let package = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    build_id::stamp(&Path::new(&package).join("../.."));
}

/// Compiles `native/` against libtorch's headers, which lie beside its libraries.
fn compile_bridge(lib: &Path) {
    let include = lib.join("../include");
    println!("cargo::rerun-if-changed=native");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .pic(true)
        .warnings(false) // libtorch's headers have many
        .includes([include.clone(), include.join("torch/csrc/api/include"), "native/declared".into()])
        .define("USE_C10D_GLOO", None) // as the libraries were built
        // Messages of libtorch name its headers; not by the place where they were built against.
        .flag_if_supported(format!("-ffile-prefix-map={}=libtorch", include.display()))
        .files(["native/bridge.cpp", "native/world.cpp"])
        .compile("opus_dsd_bridge");
    // Again behind the bridge: what it uses of them.
    for library in ["torch_cpu", "c10", "stdc++"] {
        println!("cargo::rustc-link-lib={library}");
    }
    println!("cargo::rustc-link-search=native={}", lib.display());
}
