//! Stamps the build id: a hash of the sources that front and engine share, so that a stale engine is recognised.

use std::hash::{DefaultHasher, Hash, Hasher};

fn main() {
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-env-changed=OPUS_DSD_RELEASE_ID");
    let mut files: Vec<_> = std::fs::read_dir("src").map(|d| d.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(&file).unwrap_or_default().hash(&mut hasher);
    }
    let release = std::env::var("OPUS_DSD_RELEASE_ID").unwrap_or_else(|_| "dev".into());
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rustc-env=OPUS_DSD_BUILD_ID={version}-{release}-{:016x}", hasher.finish());
}
