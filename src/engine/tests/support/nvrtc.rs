//! Finds an NVRTC for tests where libtorch has none: it compiles without a GPU.

use libloading::os::unix::Library;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// A folder of libraries with an NVRTC in it.
const ENVIRONMENT: &str = "OPUS_DSD_TEST_NVRTC";
/// Below a folder of packages.
const PLACES: [&str; 2] = ["nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"];
const NAMES: [&str; 2] = ["libnvrtc.so.13", "libnvrtc.so.12"];

/// Tries what needs NVRTC; where none is found, once more with one from [`ENVIRONMENT`], the packages of the tests' Python, or those that
/// `cargo xtask setup --cuda` has left in the cache. What is loaded from there is found by its name, as where libtorch has loaded it.
///
/// # Errors
/// That there is none.
///
/// # Panics
/// The one from the environment is not there.
pub(crate) fn find(test: impl Fn() -> contract::Result<()>) -> contract::Result<()> {
    static SEARCH: Once = Once::new();
    if test().is_ok() {
        return Ok(());
    }
    SEARCH.call_once(|| {
        let named = std::env::var_os(ENVIRONMENT).map(PathBuf::from);
        if let Some(folder) = &named {
            assert!(load(folder), "no NVRTC in `{ENVIRONMENT}`: {}", folder.display());
            return;
        }
        let _ = packages().iter().flat_map(|packages| PLACES.map(|place| packages.join(place))).any(|folder| load(&folder));
    });
    test()
}

/// Keeps it loaded until the program ends.
fn load(folder: &Path) -> bool {
    // SAFETY: NVRTC's initialisers have no side effects.
    let found = NAMES.iter().find_map(|name| unsafe { Library::new(folder.join(name)) }.ok());
    found.map(std::mem::forget).is_some()
}

/// Folders that packages are installed in.
fn packages() -> Vec<PathBuf> {
    let mut found = Vec::new();
    if let Some(python) = std::env::var_os("OPUS_DSD_TEST_PYTHON").map(PathBuf::from) {
        let libraries = python.ancestors().nth(2).map(|environment| environment.join("lib"));
        let versions = libraries.and_then(|folder| std::fs::read_dir(folder).ok()).into_iter().flatten().flatten();
        found.extend(versions.map(|version| version.path().join("site-packages")));
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home) {
        found.push(cache.join("opus-dsd/libtorch-2.11.0-cu130"));
    }
    found
}
