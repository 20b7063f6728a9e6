//! The one version of libtorch that everything is built against, and where it lies.

use std::path::{Path, PathBuf};

/// What `tch` 0.24 wants, exactly.
pub(crate) const TORCH_VERSION: &str = "2.11.0";

/// Which libtorch is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// The three wheels that `libtorch_cpu.so` needs.
    Cpu,
    /// All wheels of the CUDA 13 build.
    Cuda,
    /// The PyTorch that this interpreter imports.
    Python(String),
}

impl Flavour {
    /// The pin file, where there is one.
    pub(crate) fn pin_file(&self) -> Option<&'static str> {
        match self {
            Self::Cpu => Some("tools/libtorch-cpu.txt"),
            Self::Cuda => Some("tools/libtorch-cuda.txt"),
            Self::Python(_) => None,
        }
    }

    /// The folder's name in the user's cache.
    pub(crate) fn folder(&self) -> &'static str {
        match self {
            Self::Cpu => "libtorch-2.11.0-cpu",
            Self::Cuda => "libtorch-2.11.0-cu130",
            Self::Python(_) => "libtorch-2.11.0-python",
        }
    }
}

/// The workspace's root: two folders above this package.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}

/// `${XDG_CACHE_HOME:-~/.cache}/opus-dsd`, so that a second clone fetches nothing.
pub(crate) fn cache() -> Result<PathBuf, String> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache")))
        .ok_or("neither XDG_CACHE_HOME nor HOME is set, so there is no cache folder for libtorch")?;
    Ok(base.join("opus-dsd"))
}

/// The link in the clone that `.cargo/config.toml` points `LIBTORCH` at.
pub(crate) fn link() -> PathBuf {
    root().join(".libtorch")
}
