//! Which files of libtorch's folder an installed engine needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the engine links.
const LINKED: [&str; 2] = ["torch/lib/libtorch_cpu.so", "torch/lib/libc10.so"];
/// What is opened at run time where there is a GPU: by the engine, by libtorch, and by CUDA's own libraries.
const OPENED: [&str; 3] = ["torch/lib/libtorch_cuda.so", "torch/lib/libtorch_cuda_linalg.so", "torch/lib/libcaffe2_nvrtc.so"];
const OPENED_FOLDERS: [(&str, &str); 3] =
    [("nvidia/cudnn/lib", "libcudnn"), ("nvidia/nccl/lib", "libnccl"), ("nvidia/cu13/lib", "libnvrtc")];
/// Comes with the NVIDIA driver, never with a program.
const OF_THE_DRIVER: [&str; 2] = ["libcuda.so.1", "libnvidia-ml.so.1"];

/// Whether a folder holds all that libtorch's CUDA part loads.
pub(super) fn has_cuda(folder: &Path) -> bool {
    OPENED_FOLDERS.iter().all(|(sub, _)| folder.join(sub).is_dir())
}

/// The files, relative to the folder, in order.
///
/// # Errors
/// A library is missing.
pub(super) fn needed(folder: &Path) -> Result<BTreeSet<PathBuf>, String> {
    let mut waiting: Vec<PathBuf> = LINKED.iter().map(|l| folder.join(l)).collect();
    if has_cuda(folder) {
        waiting.extend(OPENED.iter().map(|l| folder.join(l)));
        for (sub, prefix) in OPENED_FOLDERS {
            let entries = std::fs::read_dir(folder.join(sub)).map_err(|e| format!("{sub}: {e}"))?;
            let named = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(prefix));
            waiting.extend(entries.flatten().map(|e| e.path()).filter(|p| named(p) && p.to_string_lossy().contains(".so")));
        }
    }
    let mut all = BTreeSet::new();
    for file in waiting {
        let mut found = loaded_by(&file, folder)?;
        found.insert(file);
        for path in found {
            let relative = path.strip_prefix(folder).map_err(|_| format!("{} is not below {}", path.display(), folder.display()))?;
            all.insert(relative.to_path_buf());
        }
    }
    Ok(all)
}

/// Everything below `folder` that a library loads, directly or not.
fn loaded_by(library: &Path, folder: &Path) -> Result<BTreeSet<PathBuf>, String> {
    // The folder's own order of search is what will hold where it is installed.
    let output =
        Command::new("ldd").arg(library).env_remove("LD_LIBRARY_PATH").output().map_err(|e| format!("`ldd` could not be started: {e}"))?;
    if !output.status.success() {
        return Err(format!("{}: {}", library.display(), String::from_utf8_lossy(&output.stderr).trim()));
    }
    let mut found = BTreeSet::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((name, place)) = line.split_once("=>") else { continue };
        let (name, place) = (name.trim(), place.trim());
        if place.starts_with("not found") {
            if OF_THE_DRIVER.contains(&name) {
                continue;
            }
            return Err(format!("{}: {name} is not found; run `cargo xtask setup` again", library.display()));
        }
        let path = place.split(" (").next().unwrap_or_default();
        let plain = plain(Path::new(path));
        if plain.starts_with(folder) {
            found.insert(plain);
        }
    }
    Ok(found)
}

/// A path without `..`, links left as they are: the loader's own name of a file is the one that it is installed by.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == std::path::Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_plain() {
        assert_eq!(plain(Path::new("/a/torch/lib/../../nvidia/x.so")), Path::new("/a/nvidia/x.so"));
    }
}
