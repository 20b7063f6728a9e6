//! Files that are made from the option table are those that are committed.

use std::path::{Path, PathBuf};
use std::process::Command;

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

#[test]
fn committed_files_are_fresh() {
    let made = tempfile::tempdir().unwrap();
    let done = Command::new(env!("CARGO_BIN_EXE_opus-dsd")).args(["manifest", "--write"]).arg(made.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let all = files(made.path());
    assert!(all.len() >= 13, "{all:?}");
    let stale: Vec<String> = all
        .iter()
        .map(|path| path.strip_prefix(made.path()).unwrap())
        .filter(|name| {
            let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            std::fs::read(&committed).ok() != std::fs::read(made.path().join(name)).ok()
        })
        .map(|name| name.display().to_string())
        .collect();
    assert!(stale.is_empty(), "stale: {}; run `cargo xtask generate`", stale.join(", "));
}

#[test]
fn each_host_has_its_form() {
    for host in ["json", "scipion", "ccpem", "relion", "docs"] {
        let done = Command::new(env!("CARGO_BIN_EXE_opus-dsd")).args(["manifest", "--for", host]).output().unwrap();
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && text.contains("zdim"), "{host}: {text}");
    }
}
