//! Files that are either whole or not there: written beside their place as `NAME.part`, then renamed.

use contract::{Problem, Result};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Depth of folders below the job folder in which unfinished files can lie.
const SWEEP_DEPTH: usize = 3;

/// Where `path` is written before it is renamed.
pub(crate) fn part_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    path.with_file_name(name)
}

/// Writes a whole file.
///
/// # Errors
/// Any failure of the file system; nothing is left then.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |part| {
        let mut file = File::create(part)?;
        file.write_all(bytes)?;
        file.sync_all()
    })
}

/// Lets `fill` make the file at the temporary name that it is given, then renames it.
pub(crate) fn replace(path: &Path, fill: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let part = part_of(path);
    fill(&part).and_then(|()| std::fs::rename(&part, path)).map_err(|e| {
        let _ = std::fs::remove_file(&part);
        Problem::io(path, &e)
    })
}

/// Writes a value as indented JSON.
pub(crate) fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<()> {
    write(path, &json(path, value)?)
}

/// The same in a file that nobody but the user may read, at any moment.
pub(crate) fn write_private_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = json(path, value)?;
    replace(path, |part| {
        // One that is left over might be readable.
        let _ = std::fs::remove_file(part);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(part)?;
        file.write_all(&text)?;
        file.sync_all()
    })
}

fn json<T: serde::Serialize>(path: &Path, value: &T) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|e| Problem::failed(e.to_string()).at(path.display().to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// Reads a value from JSON; `None` where there is no file.
///
/// # Errors
/// A file that cannot be read or understood.
pub(crate) fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match std::fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| {
            Problem::input(format!("not understood: {e}"))
                .at(path.display().to_string())
                .hint("a newer version of the program wrote it, or a hand changed it; `version` in the job's `settings.json` names the version to use")
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Problem::io(path, &e)),
    }
}

/// Removes unfinished files of processes that are gone.
pub(crate) fn sweep(folder: &Path) {
    for path in unfinished(folder).into_iter().filter(|p| p.is_file()) {
        let _ = std::fs::remove_file(path);
    }
}

/// What processes that are gone left half written: files, and the engine's folders of checkpoints.
pub(crate) fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    search(folder, SWEEP_DEPTH, &mut found);
    found
}

fn search(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if is_unfinished(&entry.file_name().to_string_lossy()) {
            found.push(path);
        } else if kind.is_dir() && depth > 0 {
            search(&path, depth - 1, found);
        }
    }
}

/// `NAME.part` is ours, `.NAME.tmp` that of the packages which write maps, stacks and particle files.
fn is_unfinished(name: &str) -> bool {
    name.ends_with(".part") || (name.starts_with('.') && name.ends_with(".tmp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.json");
        write(&path, b"old").unwrap();
        let outcome = replace(&path, |part| {
            std::fs::write(part, b"half")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(outcome.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("checkpoint")).unwrap();
        std::fs::write(folder.path().join("checkpoint/a.part"), b"").unwrap();
        std::fs::write(folder.path().join(".a.mrc.tmp"), b"").unwrap();
        std::fs::write(folder.path().join("keep.star"), b"").unwrap();
        sweep(folder.path());
        assert!(!folder.path().join("checkpoint/a.part").exists());
        assert!(!folder.path().join(".a.mrc.tmp").exists());
        assert!(folder.path().join("keep.star").exists());
    }
}
