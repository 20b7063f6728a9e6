//! Lets the engine and its tests find libtorch without `LD_LIBRARY_PATH`.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let Ok(lib) = std::env::var("DEP_TCH_LIBTORCH_LIB") else {
        println!("cargo::error=libtorch is not set up; run `cargo xtask setup` first (or `cargo xtask build`, which does)");
        return;
    };
    println!("cargo::rustc-link-arg=-Wl,-rpath,$ORIGIN/../lib/opus-dsd/torch/lib"); // as installed
    println!("cargo::rustc-link-arg=-Wl,-rpath,{lib}"); // as built
}
