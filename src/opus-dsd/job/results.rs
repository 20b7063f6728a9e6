//! `results.json` while it grows.

use super::atomic;
use contract::{RESULTS_SCHEMA, Result, Results};
use std::path::{Path, PathBuf};

/// The file's name in the job folder.
pub(crate) const RESULTS: &str = "results.json";

/// What a job has to show so far; `None` where it has no such file.
///
/// # Errors
/// A file that is not understood.
pub(crate) fn read(folder: &Path) -> Result<Option<Results>> {
    let path = folder.join(RESULTS);
    let found: Option<Results> = atomic::read_json(&path)?;
    found.map(|results| contract::require_form(&path, results.schema, RESULTS_SCHEMA).map(|()| results)).transpose()
}

/// The file, and what it says now.
pub(crate) struct ResultsFile {
    path: PathBuf,
    now: Results,
}

impl ResultsFile {
    /// What an earlier run of the job left, else nothing yet.
    ///
    /// # Errors
    /// A file that is not understood.
    pub(crate) fn open(folder: &Path, verb: &str) -> Result<Self> {
        let path = folder.join(RESULTS);
        let nothing = || Results { schema: RESULTS_SCHEMA, verb: verb.into(), ..Results::default() };
        let now = read(folder)?.unwrap_or_else(nothing);
        Ok(Self { path, now })
    }

    /// Changes it, and writes it where that made a difference.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Results)) -> Result<()> {
        let before = self.now.clone();
        change(&mut self.now);
        if self.now == before && self.path.exists() { Ok(()) } else { atomic::write_json(&self.path, &self.now) }
    }

    /// Says that something is still to be made, where it said otherwise.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn reopen(&mut self) -> Result<()> {
        if self.now.complete { self.change(|r| r.complete = false) } else { Ok(()) }
    }

    /// What it says now.
    pub(crate) fn now(&self) -> &Results {
        &self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = ResultsFile::open(folder.path(), "train").unwrap();
        file.reopen().unwrap();
        assert!(!folder.path().join(RESULTS).exists(), "nothing to say yet");
        file.change(|r| (r.epoch, r.complete) = (3, true)).unwrap();
        file.reopen().unwrap();
        let again = ResultsFile::open(folder.path(), "train").unwrap();
        assert_eq!((again.now().epoch, again.now().complete, again.now().verb.as_str()), (3, false, "train"));
        file.change(|r| r.schema = RESULTS_SCHEMA + 1).unwrap();
        let problem = read(folder.path()).unwrap_err();
        assert!(problem.what.contains("a newer version"), "{problem}");
    }
}
