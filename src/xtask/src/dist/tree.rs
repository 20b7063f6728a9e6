//! The installed tree.

use super::{RUN_PATH, elf, libraries, licences};
use crate::pins::root;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The executables.
const BINS: [&str; 2] = ["opus-dsd", "opus-dsd-engine"];
/// Folders and files of the repository, and where they go below `share/`.
const SHARED: [(&str, &str); 6] = [
    ("tests/data/demo", "opus-dsd/demo"),
    ("docs", "opus-dsd/docs"),
    ("plugin-manifests", "opus-dsd/plugin-manifests"),
    ("scheme-templates", "opus-dsd/scheme-templates"),
    ("packaging", "opus-dsd/packaging"),
    ("packaging/modulefiles/opus-dsd", "modulefiles/opus-dsd"),
];
/// At the top.
const TOP: [&str; 4] = ["README.md", "CHANGELOG.md", "CITATION.cff", "packaging/apptainer.def"];
/// What builds and tests leave in those folders.
const LEFTOVERS: [&str; 4] = ["__pycache__", ".pytest_cache", "build", "dist"];

/// Makes the tree anew.
pub(super) fn make(tree: &Path, bins: &Path, torch: &Path) -> Result<(), String> {
    let _ = fs::remove_dir_all(tree);
    for name in BINS {
        let target = tree.join("bin").join(name);
        copy(&bins.join(name), &target)?;
        strip(&target, "--strip-all")?;
    }
    elf::set_run_path(&tree.join("bin/opus-dsd-engine"), RUN_PATH)?;
    for library in libraries::needed(torch)? {
        let target = tree.join("lib/opus-dsd").join(&library);
        copy(&torch.join(&library), &target)?;
        // NVIDIA's libraries are passed on as they are, as their licence asks.
        if library.starts_with("torch") {
            strip(&target, "--strip-unneeded")?;
        }
    }
    for (from, to) in SHARED {
        copy_folder(&root().join(from), &tree.join("share").join(to))?;
    }
    for file in TOP {
        let name = Path::new(file).file_name().unwrap_or_default();
        copy(&root().join(file), &tree.join(name))?;
    }
    licences::collect(&tree.join("share/licenses/opus-dsd"), torch)
}

/// Bytes of all files.
pub(super) fn bytes_below(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(m) if m.is_dir() => entries(path).unwrap_or_default().iter().map(|p| bytes_below(p)).sum(),
        Ok(m) if m.is_file() => m.len(),
        _ => 0,
    }
}

fn strip(file: &Path, how: &str) -> Result<(), String> {
    let status = Command::new("strip").arg(how).arg(file).status().map_err(|e| format!("`strip` could not be started: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{} could not be stripped", file.display())) }
}

/// Copies a file's content and permissions.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let parent = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))?;
    fs::copy(from, to).map(drop).map_err(|e| format!("{} to {}: {e}", from.display(), to.display()))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), String> {
    for path in entries(from)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if LEFTOVERS.contains(&name.as_str()) || name.ends_with(".egg-info") {
            continue;
        }
        let target = to.join(&name);
        if path.is_dir() { copy_folder(&path, &target)? } else { copy(&path, &target)? }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let all = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<PathBuf> = all.flatten().map(|e| e.path()).collect();
    paths.sort();
    Ok(paths)
}
