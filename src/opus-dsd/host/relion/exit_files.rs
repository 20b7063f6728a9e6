//! The empty files by which RELION learns how a job ended, and the one by which it asks for an end.

use contract::{Problem, Result};
use std::path::Path;

/// The host creates this file in the job folder to ask for an end; it does nothing else.
const ABORT_NOW: &str = "RELION_JOB_ABORT_NOW";

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    Failure,
    Aborted,
}

impl Outcome {
    const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Aborted];

    fn file(self) -> &'static str {
        match self {
            Self::Success => "RELION_JOB_EXIT_SUCCESS",
            Self::Failure => "RELION_JOB_EXIT_FAILURE",
            Self::Aborted => "RELION_JOB_EXIT_ABORTED",
        }
    }
}

/// Removes what an earlier run left, so that no two outcomes stand side by side (the host looks for success first).
pub(crate) fn clear(folder: &Path) -> Result<()> {
    for outcome in Outcome::ALL {
        remove(&folder.join(outcome.file()))?;
    }
    Ok(())
}

/// Leaves exactly one exit file.
pub(crate) fn write(folder: &Path, outcome: Outcome) -> Result<()> {
    for other in Outcome::ALL.into_iter().filter(|&o| o != outcome) {
        remove(&folder.join(other.file()))?;
    }
    let path = folder.join(outcome.file());
    std::fs::write(&path, b"").map_err(|e| Problem::io(&path, &e))
}

/// How the job ended by its files; as the host does, success is looked for first.
pub(crate) fn read(folder: &Path) -> Option<Outcome> {
    Outcome::ALL.into_iter().find(|outcome| folder.join(outcome.file()).exists())
}

/// Whether the host asks for an end.
pub(crate) fn abort_requested(folder: &Path) -> bool {
    folder.join(ABORT_NOW).exists()
}

/// Takes the request away; the host does the same before it starts a job again.
pub(crate) fn clear_abort(folder: &Path) -> Result<()> {
    remove(&folder.join(ABORT_NOW))
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Problem::io(path, &e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_outcome_stands() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), Outcome::Failure).unwrap();
        write(folder.path(), Outcome::Success).unwrap();
        assert!(folder.path().join("RELION_JOB_EXIT_SUCCESS").exists());
        assert!(!folder.path().join("RELION_JOB_EXIT_FAILURE").exists());
        assert_eq!(read(folder.path()), Some(Outcome::Success));
        clear(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
