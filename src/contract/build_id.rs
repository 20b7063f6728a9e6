//! The build id, for the build scripts of front and engine (included by path: both must compute the same).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Folders whose sources do not end up in the executables.
const NOT_SHIPPED: [&str; 4] = ["xtask", "tests", "benches", "examples"];

/// Sets `OPUS_DSD_BUILD_ID` for the package: the version, and a hash of every source that front and engine are made of, so that one that was
/// built before the other's last change is recognised. Who builds from a fixed state of the sources may name it in `OPUS_DSD_RELEASE_ID`
/// instead; front and engine of one name then take each other on trust. `workspace` is the workspace's folder.
pub(crate) fn stamp(workspace: &Path) {
    println!("cargo::rerun-if-env-changed=OPUS_DSD_RELEASE_ID");
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    if let Ok(release) = std::env::var("OPUS_DSD_RELEASE_ID") {
        // A build script without a line of its own would run again at every change of the package.
        println!("cargo::rerun-if-changed={}", workspace.join("Cargo.lock").display());
        println!("cargo::rustc-env=OPUS_DSD_BUILD_ID={version}-{release}");
        return;
    }
    let sources = workspace.join("src");
    println!("cargo::rerun-if-changed={}", sources.display());
    println!("cargo::rerun-if-changed={}", workspace.join("Cargo.lock").display());
    let mut files = vec![workspace.join("Cargo.lock")];
    collect(&sources, &mut files);
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        std::fs::read(&file).unwrap_or_default().hash(&mut hasher);
    }
    println!("cargo::rustc-env=OPUS_DSD_BUILD_ID={version}-dev-{:016x}", hasher.finish());
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if !NOT_SHIPPED.iter().any(|n| name == *n) {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|e| ["rs", "toml", "cpp", "cu"].iter().any(|kind| e == *kind)) {
            files.push(path);
        }
    }
}
