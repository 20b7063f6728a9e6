//! Licences of everything in the archive: this program's, libtorch's and NVIDIA's, and those of every crate that is compiled in.

use super::tree::copy;
use crate::pins::root;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// This program's own.
const OWN: [&str; 2] = ["LICENSE-MIT", "LICENSE-APACHE"];
/// The file that names all crates, with their notices.
const CRATES: &str = "THIRD-PARTY-CRATES.txt";
/// Beginnings of the names of files that hold a licence or a notice.
const NOTICES: [&str; 5] = ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT"];

/// Collects them into a folder.
pub(super) fn collect(folder: &Path, torch: &Path) -> Result<(), String> {
    for name in OWN {
        copy(&root().join(name), &folder.join(name))?;
    }
    let mut wheels: Vec<PathBuf> = fs::read_dir(torch)
        .map_err(|e| format!("{}: {e}", torch.display()))?
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "dist-info"))
        .collect();
    wheels.sort();
    let mut found = 0;
    for wheel in &wheels {
        let name = wheel.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for notice in notices(&wheel.join("licenses")).into_iter().chain(notices(wheel)) {
            copy(&notice, &folder.join(&name).join(notice.file_name().unwrap_or_default()))?;
            found += 1;
        }
    }
    if found == 0 {
        return Err(format!(
            "{} holds no licences of libtorch; an archive is made from the fetched wheels (`cargo xtask setup`)",
            torch.display()
        ));
    }
    fs::write(folder.join(CRATES), crates()?).map_err(|e| format!("{CRATES}: {e}"))
}

/// Every crate in the executables, with its licence and its notices.
fn crates() -> Result<String, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--offline", "--package", "opus-dsd", "--package", "opus-dsd-engine", "--edges", "normal", "--prefix", "none"])
        .args(["--format", "{p}|{l}|{r}"])
        .current_dir(root())
        .output()
        .map_err(|e| format!("cargo could not be started: {e}"))?;
    if !output.status.success() {
        return Err(format!("`cargo tree` failed: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines: Vec<&str> = text.lines().map(|l| l.trim_end_matches(" (*)")).filter(|l| !l.is_empty() && !l.contains(" (/")).collect();
    lines.sort_unstable();
    lines.dedup();
    let registry = registry();
    let mut out = "Crates that are compiled into opus-dsd, their licences, and the notices that they carry.\n".to_owned();
    for line in lines {
        let mut parts = line.split('|');
        let (package, licence, repository) =
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let mut words = package.split_whitespace();
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().trim_start_matches('v'));
        let _ = write!(out, "\n==== {name} {version}: {licence} {repository}\n");
        for notice in registry.iter().flat_map(|r| notices(&r.join(format!("{name}-{version}")))) {
            let text = fs::read(&notice).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
            let _ = write!(out, "\n{}\n", text.trim());
        }
    }
    Ok(out)
}

/// Where cargo keeps the sources of crates.
fn registry() -> Vec<PathBuf> {
    let home =
        std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cargo")));
    let sources = home.map(|h| h.join("registry/src")).unwrap_or_default();
    fs::read_dir(sources).into_iter().flatten().flatten().map(|e| e.path()).collect()
}

fn notices(folder: &Path) -> Vec<PathBuf> {
    let is_notice = |p: &PathBuf| {
        let name = p.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        p.is_file() && NOTICES.iter().any(|n| name.starts_with(n))
    };
    let mut found: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).filter(is_notice).collect();
    found.sort();
    found
}
